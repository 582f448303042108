"""Blend: one candidate set a user out of the conventional and the targeted proposals, under a quota.

    slots = round(quota * budget)
    base  = the conventional generator's first (budget - slots) ads
    won   = the targeted generator's first `slots` ads that are not in the base
    rest  = the conventional generator's further ads that are not in `won`

The set is base + won + rest, cut at `budget`: the targeted generator never has more than its slots, a
slot it cannot fill goes back, and quota 0 is the conventional generator alone. The set is ordered by
merging `won` evenly among the others, so that a shorter prefix keeps about the same mix. An ad that both
proposed stands once and keeps both ranks and scores; null means "not proposed by this one".
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from ml.candidates.targeted import TARGETED

COLUMNS = [
    "user_id",
    "ad_id",
    "advertiser_id",
    "rank",
    "generators",
    "conventional_rank",
    "conventional_score",
    "targeted_rank",
    "targeted_score",
]


def targeted_slots(budget: int, quota: float) -> int:
    """Slots the targeted generator may win: quota * budget, halves up."""
    return math.floor(quota * budget + 0.5)


def blend(conventional: pd.DataFrame, targeted: pd.DataFrame, *, budget: int, quota: float) -> pd.DataFrame:
    """Candidate sets of all users that either frame names, users ascending.

    Args:
        conventional: user_id, ad_id, advertiser_id, rank, score, generator; each (user, ad) once.
        targeted: the same columns.
        budget: ads a user.
        quota: share of the budget for targeted ads, 0..1.

    Returns:
        COLUMNS; rank 1..n without gaps; generators names who proposed the ad, joined by "+", such as
        "factorisation+targeted"; ranks are nullable integers. n = budget where the set above is that long.
    """
    slots = targeted_slots(budget, quota)
    both = _outer(conventional, targeted)
    base = both["conventional_rank"].to_numpy(np.float64, na_value=np.inf) <= budget - slots
    bids = both["targeted_rank"].to_numpy(np.float64, na_value=np.inf)
    bids[base] = np.inf
    user = both["user_id"]
    place = pd.Series(bids).groupby(user).rank(method="first").to_numpy()
    won = np.isfinite(bids) & (place <= slots)
    # Conventional ads fill what is left of the budget, in their own order.
    room = budget - pd.Series(won).groupby(user).transform("sum").to_numpy()
    others = np.where(won, np.inf, both["conventional_rank"].to_numpy(np.float64, na_value=np.inf))
    turn = pd.Series(others).groupby(user).rank(method="first").to_numpy()
    filled = np.isfinite(others) & (turn <= room)
    both["won"], both["turn"] = won, np.where(won, place, turn)
    return _in_order(both[won | filled])


def _outer(conventional: pd.DataFrame, targeted: pd.DataFrame) -> pd.DataFrame:
    """One row per (user, ad) that either proposed, sorted by both: the order of ties is then total."""
    keys = ["user_id", "ad_id"]
    left = conventional.rename(columns={"rank": "conventional_rank", "score": "conventional_score"})
    right = targeted.rename(columns={"rank": "targeted_rank", "score": "targeted_score"})
    both = left.merge(right, on=keys, how="outer", suffixes=("", "_targeted"), validate="one_to_one", sort=True)
    both["advertiser_id"] = both["advertiser_id"].fillna(both["advertiser_id_targeted"])
    proposed = both["targeted_rank"].notna()
    alone, together = both["generator"].isna(), both["generator"] + "+" + TARGETED
    both["generators"] = both["generator"].where(~proposed, together.where(~alone, TARGETED))
    for name in ("conventional_rank", "targeted_rank"):
        both[name] = both[name].astype("Int64")
    return both


def _in_order(chosen: pd.DataFrame) -> pd.DataFrame:
    """Merge won and other ads evenly: the i-th of n stands at (i - 1/2) / n; the conventional ad first in a tie."""
    size = chosen.groupby(["user_id", "won"])["ad_id"].transform("size")
    chosen = chosen.assign(at=(chosen["turn"] - 0.5) / size)
    chosen = chosen.sort_values(["user_id", "at", "won"], ignore_index=True)
    chosen["rank"] = chosen.groupby("user_id", sort=False).cumcount() + 1
    return chosen[COLUMNS]
