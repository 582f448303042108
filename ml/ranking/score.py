"""The final score: what showing an ad is worth, by which ads are ranked.

    bids pay for clicks        score = 1000 * bid * pCTR * (1 + value_weight * pCVR_click)
    bids pay for conversions   score = 1000 * bid * P(conversion | impression)

With value_weight 0 both are the eCPM: expected revenue of a thousand impressions. The weight adds what a conversion is
worth beyond the click that was paid for, in clicks: to the advertiser, who comes back, and so to the platform.
A model without pCTR (a log without clicks) ranks by the second form; one without pCVR_click has no value term.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from ml.lake import Lake
from ml.ranking.targets import CLICK, CLICK_CONVERSION, CONVERSION

PER = 1000.0
"""Impressions that a score speaks of: eCPM."""
BID_DAYS = 28
"""Days whose impressions tell an ad's usual bid."""
NO_BID = 1.0
"""Bid of every ad in a log without bids."""


class ScoreSettings(BaseModel):
    """How bids and probabilities become one score."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    bid_pays_for: Literal["click", "conversion"] = "click"
    """What advertisers bid for: clicks, or conversions."""
    value_weight: float = Field(default=5.0, ge=0)
    """Clicks that a conversion is worth beside its own click; 0: rank by expected revenue alone. Only for bids on
    clicks."""


def formula(settings: ScoreSettings, targets: Collection[str]) -> str:
    """The formula in words, for a model of these targets."""
    if settings.bid_pays_for == "conversion" or CLICK not in targets:
        return "1000 * bid * P(conversion | impression)"
    value = f" * (1 + {settings.value_weight:g} * pCVR_click)"
    return "1000 * bid * pCTR" + (value if settings.value_weight and CLICK_CONVERSION in targets else "")


def final_score(probability: Mapping[str, np.ndarray], bid: np.ndarray, settings: ScoreSettings) -> np.ndarray:
    """Scores of ads, shape (n,); see the formulas above.

    Args:
        probability: calibrated, by target, each of shape (n,).
        bid: shape (n,), in the log's currency.
    """
    if settings.bid_pays_for == "conversion" or CLICK not in probability:
        worth: np.ndarray = PER * bid * probability[CONVERSION]
        return worth
    worth = PER * bid * probability[CLICK]
    if CLICK_CONVERSION in probability:
        worth = worth * (1 + settings.value_weight * probability[CLICK_CONVERSION])
    return worth


_BIDS = """
WITH recent AS (
    SELECT ad_id, advertiser_id, bid FROM impressions JOIN ads USING (ad_id)
    WHERE bid IS NOT NULL AND event_time >= $first
)
SELECT ads.ad_id, coalesce(
    (SELECT median(bid) FROM recent r WHERE r.ad_id = ads.ad_id),
    (SELECT median(bid) FROM recent r WHERE r.advertiser_id = ads.advertiser_id),
    (SELECT median(bid) FROM recent), $no_bid
) AS bid FROM ads ORDER BY ad_id
"""


def usual_bids(lake: Lake, as_of: date) -> pd.Series:
    """Median bid of every ad in the BID_DAYS up to `as_of`, by ad_id; else its advertiser's, else that of all ads.

    NO_BID for every ad of a log without bids.
    """
    first = pd.Timestamp(as_of) - pd.Timedelta(days=BID_DAYS - 1)
    with lake.connect(as_of=as_of) as con:
        found = con.execute(_BIDS, {"first": first.to_pydatetime(), "no_bid": NO_BID}).df()
    return found.set_index("ad_id")["bid"].astype(float)
