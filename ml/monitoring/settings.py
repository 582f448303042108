"""Settings of drift: what is compared, when a difference counts, and when it asks for a retraining."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class DriftSettings(BaseModel):
    """When a difference from the training window counts as drift, and what is done about it."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    window_days: int = Field(7, ge=7, multiple_of=7)
    """Days up to the snapshot day that are compared; whole weeks, so that weekdays do not look like drift."""
    reference_days: int = Field(28, ge=7, multiple_of=7)
    """Days of the training window, the last ones, that they are compared with; whole windows."""
    numeric_bins: int = Field(10, ge=2, le=50)
    """Bins of a numeric field, by quantiles of the reference."""
    top_values: int = Field(20, ge=2, le=200)
    """Values of a field that get a bin of their own; the others share one, as do those too rare for a window."""
    min_n: int = Field(100, ge=1)
    """Users or events a window needs before a feature is judged."""
    psi_warn: float = Field(0.1, gt=0)
    """Debiased population stability index from which a feature warns."""
    psi_alert: float = Field(0.2, gt=0)
    """And from which it alerts."""
    max_p: float = Field(1e-4, gt=0, le=1)
    """And how unlikely the difference must be by chance, given how much the reference's own windows differ."""
    max_unseen_share: float = Field(0.15, gt=0, le=1)
    """Share of conversions with advertisers never seen in training, above the usual share, that alerts; half warns."""
    max_missing_increase: float = Field(0.15, gt=0, le=1)
    """Rise of a column's share of missing values that alerts as a data fault; half of it warns."""
    max_quarantined_share: float = Field(0.01, gt=0, le=1)
    """Share of a table's rows in quarantine that alerts as a data fault; half of it warns."""
    consecutive_days: int = Field(2, ge=1)
    """Days in a row a feature must alert before anything is done, and days in a row without until it is over."""
    cooldown_days: int = Field(7, ge=1)
    """Snapshot days after a training in which drift requests no other."""
    max_retrains_per_week: int = Field(1, ge=0)
    """Requests in 7 snapshot days, failed ones included; 0 only alerts."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.reference_days % self.window_days:
            raise ValueError(
                f"reference_days ({self.reference_days}) must be whole windows of {self.window_days} days (window_days)"
            )
        if self.psi_warn > self.psi_alert:
            raise ValueError(f"psi_warn ({self.psi_warn}) must not exceed psi_alert ({self.psi_alert})")
        return self
