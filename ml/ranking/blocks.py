"""Features as blocks, and the one function that makes a matrix of them: offline for training, online for a request.

A block holds what depends on one thing alone: on the user, the ad, the user and the advertiser, ... `finish` makes a
block out of raw arrays (counts, prices, probabilities as they were looked up); `feature_matrix` takes a row of each
block for every row that is ranked. Offline a block has one row a row; online the blocks of ads and pairs were finished
when the store was built, and a request is a few array takes. Either way the same two functions run, on arrays and
nothing else: no frame, no lake, no clock.

    blocks = [finish(block, raw) for block in BASE]
    matrix = feature_matrix([(rows, None) for rows in blocks], n)        # columns: names_of(BASE)

Ids are no features, so nothing is learned by heart; nor is the position, which is not known when ranking.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ml.ranking.counts import KEYS

FEATURES_VERSION = 2
"""Rises when a feature changes its meaning, comes or goes."""
NEVER = 9_999.0
"""Fill of "days since", for what has not happened."""
UNKNOWN = -1.0
"""Fill of a price, an age or a probability that is not known."""
SMOOTHING = 20.0
"""Impressions' worth of belief in the level above, when a click or conversion rate is estimated."""
FLOOR = 1e-6
"""Probabilities are clipped to [FLOOR, 1 - FLOOR] before taking log-odds."""
NOT_LISTED_LOG_ODDS = float(np.log(FLOOR / (1 - FLOOR)))
UNSCORED = {
    "prior_probability": -1.0,
    "prior_log_odds": -20.0,
    "prior_rank": -1.0,
    "prior_vertical_share": -1.0,
    "prior_interest_match": -1.0,
    "prior_staleness_days": -1.0,
    "prior_scored": 0.0,
}
"""What the prior columns say of a user without predictions."""

Raw = Mapping[str, np.ndarray]
"""Columns by name, each of shape (n,); nan is null."""


@dataclass(frozen=True)
class Block:
    """Features that depend on one thing.

    Attributes:
        name: what they depend on.
        features: their names, in order.
        derive: raw columns -> the features that are not a raw column themselves.
    """

    name: str
    features: tuple[str, ...]
    derive: Callable[[Raw], Mapping[str, np.ndarray]] = lambda raw: {}


def _counted(*keys: str) -> tuple[str, ...]:
    return tuple(name for key in KEYS if key.name in keys for name in key.features)


def _rates(raw: Raw) -> dict[str, np.ndarray]:
    """Click and conversion rates: an ad is smoothed towards its advertiser, that towards everyone."""
    found = {}
    for rate, hits in (("ctr", "clicks"), ("cvr", "attributed")):
        above = raw[f"everyone_{hits}_28d"] / np.maximum(raw["everyone_impressions_28d"], 1)
        for level in ("advertiser", "ad"):
            above = (raw[f"{level}_{hits}_28d"] + SMOOTHING * above) / (raw[f"{level}_impressions_28d"] + SMOOTHING)
            found[f"{level}_{rate}_28d"] = above
    return found


def _share(level: str) -> Callable[[Raw], dict[str, np.ndarray]]:
    """Share of the user's searches and visits that were of the category or vertical."""

    def derive(raw: Raw) -> dict[str, np.ndarray]:
        of_user = raw["user_searches_28d"] + raw["user_visits_28d"]
        mine = raw[f"user_{level}_searches_28d"] + raw[f"user_{level}_visits_28d"]
        return {f"user_{level}_share_28d": mine / np.maximum(of_user, 1)}

    return derive


def _prior_user(raw: Raw) -> dict[str, np.ndarray]:
    scored = ~np.isnan(raw["listed"])
    staleness = np.where(scored, raw["staleness"], UNSCORED["prior_staleness_days"])
    return {"prior_staleness_days": staleness, "prior_scored": scored.astype(float)}


def _prior_advertiser(raw: Raw) -> dict[str, np.ndarray]:
    """Outside the user's list: probability 0, the floor's log-odds and the rank after the list's last."""
    scored = ~np.isnan(raw["listed"])
    probability = np.nan_to_num(raw["probability"])
    clipped = np.clip(probability, FLOOR, 1 - FLOOR)
    rank = np.where(np.isnan(raw["rank"]), raw["listed"] + 1, raw["rank"])
    found = {"prior_probability": probability, "prior_log_odds": np.log(clipped / (1 - clipped)), "prior_rank": rank}
    return {name: np.where(scored, values, UNSCORED[name]) for name, values in found.items()}


def _prior_vertical(raw: Raw) -> dict[str, np.ndarray]:
    share = np.nan_to_num(raw["vertical_mass"]) / np.maximum(raw["total"], FLOOR)
    return {"prior_vertical_share": np.where(np.isnan(raw["listed"]), UNSCORED["prior_vertical_share"], share)}


def _prior_category(raw: Raw) -> dict[str, np.ndarray]:
    match = np.nan_to_num(raw["interest"])
    return {"prior_interest_match": np.where(np.isnan(raw["interests"]), UNSCORED["prior_interest_match"], match)}


USER = Block("user", ("age_bucket_code", "gender_code", "region_code", *_counted("user"), "user_p_converts"))
CONTEXT = Block("context", ("surface_code",))
AD = Block(
    "ad",
    (
        *("category_code", "vertical_code", "ad_log_price", "ad_age_days", *_counted("advertiser", "ad")),
        *("advertiser_ctr_28d", "advertiser_cvr_28d", "ad_ctr_28d", "ad_cvr_28d"),
    ),
    _rates,
)
USER_ADVERTISER = Block("user_advertiser", _counted("user_advertiser"))
USER_AD = Block("user_ad", _counted("user_ad"))
USER_CATEGORY = Block("user_category", (*_counted("user_category"), "user_category_share_28d"), _share("category"))
USER_VERTICAL = Block("user_vertical", (*_counted("user_vertical"), "user_vertical_share_28d"), _share("vertical"))
BASE = (USER, CONTEXT, AD, USER_ADVERTISER, USER_AD, USER_CATEGORY, USER_VERTICAL)
PRIOR_USER = Block("prior_user", ("prior_staleness_days", "prior_scored"), _prior_user)
PRIOR_ADVERTISER = Block("prior_advertiser", ("prior_probability", "prior_log_odds", "prior_rank"), _prior_advertiser)
PRIOR_VERTICAL = Block("prior_vertical", ("prior_vertical_share",), _prior_vertical)
PRIOR_CATEGORY = Block("prior_category", ("prior_interest_match",), _prior_category)
PRIORS = (PRIOR_USER, PRIOR_ADVERTISER, PRIOR_VERTICAL, PRIOR_CATEGORY)


def names_of(blocks: Sequence[Block]) -> list[str]:
    """The columns of `feature_matrix` for these blocks."""
    return [name for block in blocks for name in block.features]


def finish(block: Block, raw: Raw) -> np.ndarray:
    """One block's features, float32 without nulls, shape (n, len(block.features)).

    Args:
        block: which.
        raw: the columns it is made of: those of its features that are looked up, and what it derives others from.
    """
    columns = {**raw, **block.derive(raw)}
    found = np.empty((len(columns[block.features[0]]), len(block.features)), dtype=np.float32)
    for place, name in enumerate(block.features):
        found[:, place] = columns[name]
        if name.endswith(_MAY_BE_NULL):
            fill = NEVER if name.endswith(_SINCE) else UNKNOWN
            np.nan_to_num(found[:, place], copy=False, nan=fill)
    return found


_SINCE = "_days_since_conversion"
_MAY_BE_NULL = (_SINCE, "ad_log_price", "ad_age_days", "user_p_converts")


def feature_matrix(blocks: Sequence[tuple[np.ndarray, np.ndarray | None]], n: int) -> np.ndarray:
    """The features of n rows, float32, C order, shape (n, sum of the blocks' widths).

    Args:
        blocks: (finished block, row of it for each of the n rows). Without rows a block has n rows of its own, or one
            that all share, such as the user's in a request.
        n: rows.
    """
    found = np.empty((n, sum(block.shape[1] for block, _ in blocks)), dtype=np.float32)
    first = 0
    for block, rows in blocks:
        here = found[:, first : first + block.shape[1]]
        here[:] = block if rows is None else block[rows]
        first += block.shape[1]
    return found
