"""The checkpoint directory, and the state from which a killed training resumes.

adapter/            peft directory (safetensors)
head.safetensors    the advertiser head, with the embedded texts of its catalogue
interests.safetensors  the interests head (its names: config.json), if there is one
catalogue.parquet   advertisers in the head's order
loss_curve.json     one entry a logged step
compute.json        device, dtype, threads, speeds measured (differs from run to run)
config.json         everything else; written last: with it the checkpoint is complete
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from ml.artifacts import write_json
from ml.errors import BadInput
from ml.llm.head import TENSORS, AdvertiserHead
from ml.llm.interests import InterestHead
from ml.llm.lora import save_adapters

ADAPTER = "adapter"
HEAD = "head.safetensors"
INTERESTS = "interests.safetensors"
CATALOGUE = "catalogue.parquet"
LOSS_CURVE = "loss_curve.json"
COMPUTE = "compute.json"
CONFIG = "config.json"
STATE = "training_state.pt"
FROZEN = "frozen"


def write_checkpoint(
    directory: Path,
    *,
    model: Any,
    head: AdvertiserHead,
    interests: InterestHead | None,
    catalogue: pd.DataFrame,
    config: dict[str, Any],
    compute: dict[str, Any],
    loss_curve: list[dict[str, float]],
) -> None:
    """Write all files, `config.json` last, and drop the resume state and kept states."""
    from safetensors.torch import save_file

    save_adapters(model, directory / ADAPTER, config["base_model"])
    for part, name in ((head, HEAD), (interests, INTERESTS)):
        if part is not None:
            tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in part.tensors.items()}
            save_file(tensors, directory / name)
    catalogue.to_parquet(directory / CATALOGUE, index=False)
    write_json(directory / LOSS_CURVE, loss_curve)
    write_json(directory / COMPUTE, compute)
    write_json(directory / CONFIG, config)
    (directory / STATE).unlink(missing_ok=True)
    shutil.rmtree(directory / FROZEN, ignore_errors=True)


def is_complete(directory: Path) -> bool:
    return (directory / CONFIG).exists()


def read_json(directory: Path, name: str) -> Any:
    """One JSON file of a checkpoint.

    Raises:
        BadInput: the directory is no complete checkpoint.
    """
    if not is_complete(directory) or not (directory / name).exists():
        raise BadInput("no complete LLM checkpoint", where=str(directory), remedy="materialize advertiser_llm again")
    return json.loads((directory / name).read_text())


def load_head(directory: Path) -> AdvertiserHead:
    """The advertiser head.

    Raises:
        BadInput: an earlier version of this software wrote it, with other tensors.
    """
    from safetensors.torch import load_file

    tensors = load_file(directory / HEAD)
    if missing := sorted(set(TENSORS) - set(tensors)):
        raise BadInput(
            f"an earlier version wrote this checkpoint: its head lacks {', '.join(missing)}",
            where=str(directory / HEAD),
            remedy="train again: materialize advertiser_llm",
        )
    return AdvertiserHead(tensors)


def load_interests(directory: Path, names: list[str]) -> InterestHead | None:
    """The interests head; None if it was trained without."""
    from safetensors.torch import load_file

    return InterestHead(names, load_file(directory / INTERESTS)) if names else None


def save_state(directory: Path, state: dict[str, Any]) -> None:
    """Replace the resume state; a kill leaves the old one or the new one."""
    import torch

    temporary = directory / f".{STATE}.tmp"
    torch.save(state, temporary)
    temporary.replace(directory / STATE)


def load_state(directory: Path) -> dict[str, Any] | None:
    """The resume state, or None if there is none."""
    import torch

    path = directory / STATE
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state
