"""How candidate sets are made: the two-tower retrieval model, the generators' shares, and who may be shown."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ml.artifacts import sha256


class TowerSettings(BaseModel):
    """The two-tower retrieval model, and how it is trained."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    objective: Literal["clicks", "dwell", "conversions"] = "conversions"
    """What counts as a user's interest in an ad: clicks, clicks weighted by log(1 + dwell seconds), or conversions with
    a known ad. Logs of purchases have conversions only."""
    max_positives: int = Field(default=300_000, ge=1)
    """Most of them in a training; above it the newest are taken."""

    dimensions: int = Field(default=32, ge=1)
    """Length of the learned part of the vectors; they have `hidden` more numbers, and one."""
    hidden: int = Field(default=48, ge=4)
    """Width of embeddings and states, a multiple of `heads`."""
    layers: int = Field(default=1, ge=0)
    """Transformer blocks over the user's stream; 0 reads the newest event alone."""
    heads: int = Field(default=2, ge=1)
    """Attention heads of a block."""
    max_events: int = Field(default=64, ge=2)
    """Most events of a stream that are read; of a longer one the newest half of that at least."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """Share of the user tower's states set to zero in training."""
    word_buckets: int = Field(default=4096, ge=1)
    """Words of searches and of ad titles are hashed into this many embeddings, shared by both towers."""
    ad_dropout: float = Field(default=0.3, ge=0, le=1)
    """Share of the ads that a training step sees by their features alone, so that a new ad is in distribution; 1 learns
    nothing of single ads."""

    epochs: int = Field(default=10, ge=1)
    """Most passes over the positives; the learning rate's schedule is laid out for all of them."""
    patience: int = Field(default=2, ge=1)
    """Epochs without a better loss on the held-out users after which training stops."""
    held_out_share: float = Field(default=0.1, ge=0, lt=0.5)
    """Share of users (by hash of their id) that choose the epoch; 0 runs all epochs."""
    batch_tokens: int = Field(default=1024, ge=32)
    """Padded events an optimizer step reads."""
    uniform_negatives: int = Field(default=512, ge=0)
    """Ads drawn uniformly as negatives of each step, beside the other positives of its batch."""
    log_q: bool = True
    """Weigh negatives by how rarely they are sampled. Without it popular ads are pushed down."""
    learning_rate: float = Field(default=1e-2, gt=0)
    """Peak AdamW step."""
    weight_decay: float = Field(default=1.0, ge=0)
    """AdamW decay of matrices and embeddings."""
    warmup_share: float = Field(default=0.06, ge=0, lt=1)
    """Share of the steps over which the learning rate rises; it then falls as a cosine to a tenth."""
    threads: int = Field(default=1, ge=1)
    """CPU threads; more than one may change the last bits from run to run."""

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.hidden % self.heads:
            raise ValueError(f"hidden ({self.hidden}) must be a multiple of heads ({self.heads})")
        return self


class QuotaSettings(BaseModel):
    """How the shares of the generators are chosen on the validation window."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    grid: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0)
    """Shares that are tried, ascending; 0 is always among them."""
    metric: Literal["ad_recall", "advertiser_recall", "new_advertiser_recall"] = "advertiser_recall"
    """Recall that the curve is judged by."""

    @model_validator(mode="after")
    def _ascending_from_zero(self) -> Self:
        if self.grid[:1] != (0.0,) or list(self.grid) != sorted(set(self.grid)) or self.grid[-1] > 1:
            raise ValueError(f"grid {self.grid} must rise from 0 to at most 1")
        return self


class EligibilitySettings(BaseModel):
    """Who may be shown to whom, beyond what the registers say; see `ml.candidates.eligibility`."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    budgets: Path | None = None
    """CSV or Parquet file of total budgets: advertiser_id, budget (in the unit of price_paid), from_day (optional).
    An advertiser who has spent it is not proposed any more."""
    exclusions: Path | None = None
    """CSV or Parquet file of what must not be proposed: any of user_id, vertical, category, advertiser_id, ad_id (a
    rule holds where all that it names agree; no user_id: for everybody), and reason."""

    def contents(self) -> dict[str, str]:
        """A hash of each file that is named and there: what was made by other contents is out of date."""
        files = {"budgets": self.budgets, "exclusions": self.exclusions}
        return {name: sha256(path) for name, path in files.items() if path is not None and path.exists()}


class CandidateSettings(BaseModel):
    """Size and mix of a candidate set."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    budget: int = Field(default=100, ge=1)
    """Ads in a user's candidate set."""
    quota: float | None = Field(default=None, ge=0, le=1)
    """Share of the budget that ads of predicted advertisers may take from the conventional generator; 0 is legal. Null:
    chosen on the validation window."""
    interest_quota: float | None = Field(default=None, ge=0, le=1)
    """The same for ads of predicted interests (categories). Null: chosen likewise, once `quota` is."""
    ads_per_advertiser: int = Field(default=5, ge=1)
    """Most ads that the targeted generator proposes of one advertiser to one user."""
    ads_per_interest: int = Field(default=20, ge=1)
    """Most ads that the interest generator proposes of one category to one user."""
    popular_days: int = Field(default=28, ge=1)
    """Days up to the snapshot whose clicks and conversions make an ad popular, for users without a stream."""
    tower: TowerSettings = TowerSettings()
    choice: QuotaSettings = QuotaSettings()
    eligibility: EligibilitySettings = EligibilitySettings()

    @model_validator(mode="after")
    def _quotas_fit(self) -> Self:
        if (self.quota or 0) + (self.interest_quota or 0) > 1:
            raise ValueError(f"quota ({self.quota}) and interest_quota ({self.interest_quota}) exceed the budget")
        return self
