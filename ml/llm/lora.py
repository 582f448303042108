"""LoRA on the top layers: added, saved, loaded and merged. Nothing below them needs or stores a gradient."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.artifacts import write_json
from ml.errors import BadInput
from ml.llm.settings import LLMSettings

if TYPE_CHECKING:
    import torch


def adapted_layers(n_layers: int, share: float) -> list[int]:
    """The top `share` of the layers, at least one."""
    return list(range(n_layers - max(1, round(share * n_layers)), n_layers))


def add_adapters(model: torch.nn.Module, settings: LLMSettings, seed: int) -> Any:
    """The model with fresh adapters (their product starts at zero) in the model's own dtype.

    Raises:
        BadInput: the model has no linear layers of the names in `lora_modules`.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    n_layers = int(model.config.num_hidden_layers)  # type: ignore[union-attr, arg-type]
    layers = "|".join(str(layer) for layer in adapted_layers(n_layers, settings.adapted_layers))
    names = "|".join(re.escape(name) for name in settings.lora_modules)
    config = LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        # A pattern, not peft's `layers_to_transform`, which finds nothing in a model without its head.
        target_modules=rf"(?:.*\.)?layers\.(?:{layers})\.(?:.*\.)?(?:{names})",
    )
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            # peft's own default keeps adapters in float32, which halves the speed on a CPU; the optimizer does.
            adapted = get_peft_model(model, config, autocast_adapter_dtype=False)
    except ValueError as error:
        raise BadInput(
            f"adapters do not fit the base model: {str(error).splitlines()[0]}",
            where=f"lora_modules = {list(settings.lora_modules)}",
            remedy="name linear layers of this model, such as q_proj, v_proj, o_proj",
        ) from error
    return adapted


def trainable(model: Any) -> dict[str, torch.Tensor]:
    """The adapters' parameters by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def save_adapters(model: Any, directory: Path, base_model: str) -> None:
    """Write the peft directory; same weights, same bytes (no local path in it)."""
    model.save_pretrained(directory)
    path = directory / "adapter_config.json"
    config = json.loads(path.read_text())
    config["base_model_name_or_path"] = base_model
    write_json(path, config)
    (directory / "README.md").unlink(missing_ok=True)


def load_merged(model: torch.nn.Module, directory: Path) -> torch.nn.Module:
    """The base model with saved adapters added into its weights: as fast as the base alone."""
    from peft import PeftModel

    return merge(PeftModel.from_pretrained(model, directory, autocast_adapter_dtype=False))


def merge(adapted: Any) -> torch.nn.Module:
    """The adapters added into the weights, and gone; `adapted` is used up."""
    merged: torch.nn.Module = adapted.merge_and_unload()
    return merged.eval().requires_grad_(False)
