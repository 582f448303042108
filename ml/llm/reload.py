"""Proof that a checkpoint reloads: fixed prompts scored at the end of training, and again by a reloaded model.

(A PEFT model logged the usual way reloads on random base weights without a word.)
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ml.llm.batches import Layout
from ml.llm.predictor import LLMPredictor
from ml.llm.probe_prompts import PROBE
from ml.llm.settings import LLMSettings

ALLOWED = 1e-4
"""Largest difference of a probability that rounding may make."""


def largest_difference(directory: Path, base: Path, settings: LLMSettings) -> tuple[float, float]:
    """Largest absolute difference in probability between the probe and a reloaded model, and what is allowed.

    Args:
        directory: a published checkpoint.
        base: directory of the base model.
        settings: how to score.
    """
    with np.load(directory / PROBE) as probe:
        prompts = np.split(probe["tokens"], np.cumsum(probe["lengths"])[:-1])
        layout = Layout(
            prompts, probe["prompt"], probe["token"], np.arange(len(probe["token"])), np.arange(len(prompts))
        )
        expected = np.hstack([probe["probabilities"], probe["interests"]])
    predictor = LLMPredictor.load(directory, base, model_version="probe", settings=settings)
    hidden = predictor.read(layout)
    found = np.hstack([predictor.distribution(hidden), predictor.interest_distribution(hidden)])
    return float(np.abs(found - expected).max()), ALLOWED
