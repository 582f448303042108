"""Settings of the advertiser LLM; the defaults are the `small` profile."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class LLMSettings(BaseModel):
    """What is fine-tuned, on how much, how fast, and where."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    base_model: str = Field(default="smollm2-135m", min_length=1)
    """`smollm2-135m`, `tiny` (random weights, for tests), a Hugging Face id or a local directory."""
    weights: Literal["pretrained", "random"] = "pretrained"
    """`random` starts the same network from random weights: the control that shows what pretraining is worth."""
    max_prompt_tokens: int = Field(default=192, ge=16)
    """Tokens a user; the oldest events go first, the profile stays."""

    train_tokens: int = Field(default=200_000, ge=100)
    """Prompt tokens a training run reads, all epochs together, validation users not counted."""
    epochs: int = Field(default=1, ge=1)
    """Passes over the sample; more passes mean fewer users for the same `train_tokens`."""
    validation_share: float = Field(default=0.1, gt=0, lt=0.5)
    """Share of the sampled users held out for the loss curve, the metrics and the temperature."""
    validation_points: int = Field(default=3, ge=2)
    """Times the validation loss is measured, first and last step included."""
    batch_tokens: int = Field(default=1024, ge=32)
    """Padded tokens an optimizer step reads."""
    score_batch_tokens: int = Field(default=4096, ge=32)
    """Padded tokens a pass reads when nothing is learned."""

    adapted_layers: float = Field(default=1 / 3, gt=0, le=1)
    """Share of the layers, from the top, that get LoRA adapters; nothing below is trained or stored."""
    lora_rank: int = Field(default=16, ge=1)
    """Rank of the adapters."""
    lora_alpha: float = Field(default=32, gt=0)
    """Scale of the adapters: they add alpha / rank times their product."""
    lora_modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    """Linear layers that get adapters, by the last part of their name."""
    adapter_learning_rate: float = Field(default=3e-3, gt=0)
    """Peak AdamW step of the adapters."""
    head_learning_rate: float = Field(default=1e-3, gt=0)
    """Peak AdamW step of the advertiser head."""
    weight_decay: float = Field(default=0.01, ge=0)
    """AdamW decay of matrices (adapters, text projection); biases and scales are left alone."""
    warmup_share: float = Field(default=0.06, ge=0, lt=1)
    """Share of the steps over which the learning rate rises; it then falls as a cosine to a tenth."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Gradients longer than this are cut to it."""
    residual_decay: float = Field(default=0.01, ge=0)
    """AdamW decay of the advertisers' residuals."""
    advertiser_dropout: float = Field(default=0.2, ge=0, lt=1)
    """Chance, a step, that an advertiser loses its own residual and bias, as if it had never been trained on."""

    frozen_cache_gb: float = Field(default=8, ge=0)
    """Disk that the states of the layers below the adapters may take while training runs, so that every epoch after
    the first is spared them; a sample that needs more is read through all layers each time. 0: always."""
    interest_weight: float = Field(default=0.2, ge=0)
    """Weight of the interests' loss beside the advertisers'; 0: no interests are forecast."""
    top_interests: int = Field(default=5, ge=1)
    """Interests kept per user."""
    cooccurrence_share: float = Field(default=0, ge=0, le=1)
    """Share of the loss that follows what co-occurrence (EASE, fitted on all training users) says at each target, the
    rest follows the target itself: the head learns from few tokens what everybody's purchases say."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; `auto` is CUDA where there is a device."""
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    """Number format of the transformer (the head is always float32); `auto` is what the probe finds fastest."""
    threads: int = Field(default=0, ge=0)
    """CPU threads; 0 is what the probe finds fastest."""
    log_every: int = Field(default=5, ge=1)
    """Steps between entries of the loss curve."""
    save_every: int = Field(default=40, ge=1)
    """Steps between resume points."""
