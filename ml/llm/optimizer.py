"""AdamW on float32 copies, whatever the model computes in: bfloat16 alone loses small steps to rounding."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ml.errors import BadInput
from ml.llm.settings import LLMSettings

if TYPE_CHECKING:
    import torch

FINAL_SHARE = 0.1
"""Learning rate at the end, as a share of its peak."""


def learning_rate_share(step: int, steps: int, warmup_share: float) -> float:
    """Share of the peak learning rate at `step` (0-based): linear warm-up, then half a cosine to FINAL_SHARE."""
    warmup = max(1, round(warmup_share * steps))
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return FINAL_SHARE + (1 - FINAL_SHARE) * 0.5 * (1 + math.cos(math.pi * done))


class MasterAdamW:
    """Steps float32 masters of the adapters and the head, and writes the adapters back in their own dtype.

    Args:
        adapters: the model's trainable parameters by name.
        head: the head's learned tensors by name (float32; trained in place).
        settings: rates, decay, clipping.
        steps: optimizer steps of the whole run.
    """

    def __init__(
        self, adapters: dict[str, torch.Tensor], head: dict[str, torch.Tensor], settings: LLMSettings, steps: int
    ) -> None:
        import torch

        self.adapters, self.head, self.settings, self.steps = adapters, head, settings, steps
        self.masters = {name: p.detach().float().clone().requires_grad_() for name, p in adapters.items()}
        for tensor in head.values():
            tensor.requires_grad_()
        rates = settings.adapter_learning_rate, settings.head_learning_rate
        decays = dict.fromkeys(head, 0.0) | {"projection": settings.weight_decay, "residual": settings.residual_decay}
        decays |= {"interest_weight": settings.weight_decay} if "interest_weight" in head else {}
        self.peaks = [rates[0], *(rates[1] for _ in head)]
        self.adamw = torch.optim.AdamW(
            [
                {"params": list(self.masters.values()), "weight_decay": settings.weight_decay},
                *({"params": [tensor], "weight_decay": decays[name]} for name, tensor in head.items()),
            ],
            lr=rates[0],
        )

    def step(self, step: int, loss: torch.Tensor) -> float:
        """One step down the gradient of `loss`; returns the gradient's norm before clipping."""
        import torch

        loss.backward()  # type: ignore[no-untyped-call]
        for name, parameter in self.adapters.items():
            self.masters[name].grad = None if parameter.grad is None else parameter.grad.float()
            parameter.grad = None
        every = [*self.masters.values(), *self.head.values()]
        norm = torch.nn.utils.clip_grad_norm_(every, self.settings.clip_norm)
        share = learning_rate_share(step, self.steps, self.settings.warmup_share)
        for group, peak in zip(self.adamw.param_groups, self.peaks, strict=True):
            group["lr"] = peak * share
        self.adamw.step()
        self.adamw.zero_grad(set_to_none=True)
        self._write_back()
        return float(norm)

    def state(self) -> dict[str, Any]:
        """Everything a resumed run needs to go on exactly here."""
        return {
            "masters": {name: master.detach() for name, master in self.masters.items()},
            "head": {name: tensor.detach() for name, tensor in self.head.items()},
            "adamw": self.adamw.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a `state`.

        Raises:
            BadInput: it has other tensors: an earlier version of this software saved it.
        """
        import torch

        if set(state["head"]) != set(self.head) or set(state["masters"]) != set(self.masters):
            raise BadInput(
                "the killed training was of an earlier version: it has other tensors",
                where="its resume point, training_state.pt",
                remedy="delete that file; the training then begins anew",
            )
        with torch.no_grad():
            for name, master in self.masters.items():
                master.copy_(state["masters"][name])
            for name, tensor in self.head.items():
                tensor.copy_(state["head"][name])
        self.adamw.load_state_dict(state["adamw"])
        self._write_back()

    def _write_back(self) -> None:
        import torch

        with torch.no_grad():
            for name, parameter in self.adapters.items():
                parameter.copy_(self.masters[name])
