"""A few prompts with the scores the trained model gave them, kept in the checkpoint (see `ml.llm.reload`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ml.llm.batches import Layout

PROBE = "probe.npz"
PROMPTS = 16
"""Prompts in the probe."""


def save_probe(directory: Path, layout: Layout, probabilities: np.ndarray, interests: np.ndarray | None = None) -> None:
    """Write prompts (token ids), read positions and their probabilities to `directory/probe.npz`.

    Args:
        layout: prompts and where they were read.
        probabilities: shape (n_reads, n_advertisers), by the trained model with its adapters merged.
        interests: likewise, shape (n_reads, n_interests); None if it forecasts none.
    """
    np.savez(
        directory / PROBE,
        tokens=np.concatenate(layout.prompts),
        lengths=layout.lengths,
        prompt=layout.prompt,
        token=layout.token,
        probabilities=probabilities,
        interests=np.zeros((len(layout.token), 0)) if interests is None else interests,
    )
