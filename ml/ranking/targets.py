"""What the ranker forecasts of an impression, and how long after it something still counts.

    click              P(click | impression): pCTR
    click_conversion   P(click-through conversion | click): pCVR after a click
    view_conversion    P(view-through conversion | impression without a click): pCVR after a view
    conversion         P(conversion | impression), through a click or a view

so that, where the source credits a conversion to the click if there is one,

    P(conversion | impression) = pCTR * pCVR_click + (1 - pCTR) * pCVR_view.

`conversion` is learned by itself too: its labels are all impressions, while the two pCVRs see only those with, or
without, a click. It does not know features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

TargetName = Literal["conversion", "click", "click_conversion", "view_conversion"]
CONVERSION: TargetName = "conversion"
CLICK: TargetName = "click"
CLICK_CONVERSION: TargetName = "click_conversion"
VIEW_CONVERSION: TargetName = "view_conversion"
LABELS = ("clicked", "click_converted", "view_converted")
"""Columns of ranker rows beside `label`; 0 on sampled negatives, where nothing was shown."""


class AttributionSettings(BaseModel):
    """Attribution windows. All count from the impression, and end early where its label closes (`outcome_days`)."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    click_days: int = Field(default=1, ge=1)
    """A click counts within so many days of its impression."""
    click_through_days: int = Field(default=7, ge=1)
    """A conversion that the log attributes to a click counts within so many days of the clicked impression."""
    view_through_days: int = Field(default=1, ge=1)
    """Any other conversion that names an impression counts within so many days of that impression."""

    @property
    def windows(self) -> dict[str, int]:
        """As parameters of the query for the labels, in days."""
        return {name.removesuffix("_days"): days for name, days in self.model_dump().items()}


@dataclass(frozen=True)
class Target:
    """One forecast: its label, and among which rows it is asked for."""

    label: str
    """Column with 0 or 1."""
    clicked: int | None = None
    """Only rows whose column `clicked` is this; None: all rows."""

    def among(self, rows: pd.DataFrame) -> np.ndarray:
        """Which rows are asked for it, bool, shape (n,)."""
        if self.clicked is None:
            return np.ones(len(rows), dtype=bool)
        mine: np.ndarray = rows["clicked"].to_numpy() == self.clicked
        return mine

    def labels(self, rows: pd.DataFrame) -> np.ndarray:
        """float32, shape (n,)."""
        found: np.ndarray = rows[self.label].to_numpy(np.float32)
        return found


TARGETS: dict[str, Target] = {
    CONVERSION: Target("label"),
    CLICK: Target("clicked"),
    CLICK_CONVERSION: Target("click_converted", clicked=1),
    VIEW_CONVERSION: Target("view_converted", clicked=0),
}


def are_impressions(rows: pd.DataFrame) -> bool:
    """Whether the ranker rows are impressions; sampled negatives have no surface."""
    return bool(rows["surface"].notna().any())
