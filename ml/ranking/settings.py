"""How the ranker is trained."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from ml.ranking.score import ScoreSettings
from ml.ranking.targets import CLICK, CLICK_CONVERSION, CONVERSION, AttributionSettings, TargetName


class RankerSettings(BaseModel):
    """Rows, trees and stopping. Every arm of a comparison uses the same settings."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    negatives: int = Field(20, ge=1)
    """Ads sampled as not converted per conversion, for logs without impressions."""
    max_rows: int = Field(250_000, ge=1_000)
    """Most rows of one split; above it, whole users are left out at random."""
    negative_share: float = Field(0.5, gt=0, le=1)
    """Share of the training impressions without the target that is kept, drawn at random; probabilities are corrected
    for it. Sampled negatives (logs without impressions) are all kept."""
    prior_dropout: float = Field(0.1, ge=0, lt=1)
    """Share of the users' snapshots whose priors are hidden in training, so that a ranker knows what to do without."""
    attribution: AttributionSettings = AttributionSettings()
    """How long after an impression clicks and conversions count."""
    compared_targets: tuple[TargetName, ...] = (CONVERSION, CLICK, CLICK_CONVERSION)
    """What the arms that are only compared are trained to forecast: enough to judge them and to rank by. The arm that
    is registered and served forecasts everything."""
    score: ScoreSettings = ScoreSettings()
    """How bids and probabilities become the score that ads are ranked by."""
    rounds: int = Field(400, ge=1)
    """Most boosting rounds."""
    early_stopping_rounds: int = Field(30, ge=1)
    """Rounds without a better log loss on the tail of the training days before boosting stops."""
    tail_share: float = Field(0.15, gt=0, lt=1)
    """Share of the training rows, the latest days, on which the number of rounds is chosen."""
    max_depth: int = Field(5, ge=1, le=16)
    """Depth of a tree."""
    learning_rate: float = Field(0.08, gt=0, le=1)
    """Shrinkage of each round."""
    min_child_weight: float = Field(5.0, ge=0)
    """Least sum of hessians in a leaf: about (rows) * p * (1 - p)."""
    reg_lambda: float = Field(2.0, ge=0)
    """L2 penalty on leaf values."""
    threads: int = Field(2, ge=1)
    """Threads of XGBoost."""
