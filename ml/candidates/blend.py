"""Blend: one candidate set a user out of the proposals of all generators, each under its quota.

    slots_g = round(quota_g * budget)                          of the targeted and of the interest generator
    base    = the conventional generator's first (budget - all slots) ads
    won_g   = generator g's first `slots_g` ads that are not in the base, nor won by the generator before it
    rest    = the conventional generator's further ads that nobody has won

The set is base + won + rest, cut at `budget`: no generator has more than its slots, a slot it cannot fill goes back to
the conventional one, and quota 0 is the conventional generator alone. So a user for whom a source has no prediction
gets a full conventional set. The set is ordered by merging what each won evenly among the others, so that a shorter
prefix keeps about the same mix. An ad that several proposed stands once and keeps every rank and score.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from ml.candidates.ad_retrieval import COLUMNS as PROPOSAL
from ml.candidates.table import COLUMNS as TABLE
from ml.candidates.table import INTEREST, TARGETED

COLUMNS = [name for name in TABLE if name != "tower_score"]
_PREFIX = {TARGETED: "targeted", INTEREST: "interest"}


def slots_of(budget: int, quota: float) -> int:
    """Slots a generator may win: quota * budget, halves up."""
    return math.floor(quota * budget + 0.5)


def blend(
    conventional: pd.DataFrame,
    targeted: pd.DataFrame,
    interesting: pd.DataFrame | None = None,
    *,
    budget: int,
    quota: float,
    interest_quota: float = 0.0,
) -> pd.DataFrame:
    """Candidate sets of all users that any frame names, users ascending.

    Args:
        conventional: user_id, ad_id, advertiser_id, rank, score, generator; each (user, ad) once.
        targeted: the same columns.
        interesting: the same columns; None: nobody has interests.
        budget: ads a user.
        quota: share of the budget for targeted ads, 0..1.
        interest_quota: share of the budget for ads of interests; what `quota` leaves at most.

    Returns:
        COLUMNS (see `ml.candidates.table`). n = budget where the set above is that long.
    """
    interesting = pd.DataFrame(columns=PROPOSAL) if interesting is None else interesting
    slots = {TARGETED: slots_of(budget, quota)}
    slots[INTEREST] = min(slots_of(budget, interest_quota), budget - slots[TARGETED])
    both = _outer(conventional, {TARGETED: targeted, INTEREST: interesting})
    user, mine = both["user_id"], _ranks(both, "conventional")
    free = mine > budget - sum(slots.values())
    turn, group = np.full(len(both), np.inf), np.zeros(len(both), dtype=np.int64)
    for number, (generator, room) in enumerate(slots.items(), start=1):
        place = _places(np.where(free, _ranks(both, _PREFIX[generator]), np.inf), user)
        won = place <= room
        turn[won], group[won], free = place[won], number, free & ~won
    # Conventional ads fill what is left of the budget, in their own order.
    left = budget - pd.Series(group > 0).groupby(user).transform("sum").to_numpy()
    place = _places(np.where(group > 0, np.inf, mine), user)
    filled = place <= left
    turn[filled] = place[filled]
    both["group"], both["turn"] = group, turn
    return _in_order(both[np.isfinite(turn)])


def _ranks(both: pd.DataFrame, prefix: str) -> np.ndarray:
    return both[f"{prefix}_rank"].to_numpy(np.float64, na_value=np.inf)


def _places(ranks: np.ndarray, user: pd.Series) -> np.ndarray:
    """1, 2, ... of each user's rows by rank; inf where the rank is."""
    place = pd.Series(ranks).groupby(user).rank(method="first").to_numpy()
    return np.where(np.isfinite(ranks), place, np.inf)


def _outer(conventional: pd.DataFrame, others: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per (user, ad) that anybody proposed, sorted by both: the order of ties is then total."""
    keys, names = ["user_id", "ad_id"], {"rank": "conventional_rank", "score": "conventional_score"}
    both = conventional.rename(columns=names)
    for generator, proposals in others.items():
        prefix = _PREFIX[generator]
        right = proposals.rename(columns={"rank": f"{prefix}_rank", "score": f"{prefix}_score"})
        both = both.merge(right, on=keys, how="outer", suffixes=("", "_of"), validate="one_to_one", sort=True)
        both["advertiser_id"] = both["advertiser_id"].fillna(both["advertiser_id_of"])
        alone, proposed = both["generator"].isna(), both["generator_of"].notna()
        together = (both["generator"] + "+" + generator).where(~alone, generator)
        both["generator"] = both["generator"].where(~proposed, together)
        both = both.drop(columns=["advertiser_id_of", "generator_of"])
    for prefix in ("conventional", *_PREFIX.values()):
        both[f"{prefix}_rank"] = both[f"{prefix}_rank"].astype("Int64")
        both[f"{prefix}_score"] = both[f"{prefix}_score"].astype("float64")
    return both.rename(columns={"generator": "generators"})


def _in_order(chosen: pd.DataFrame) -> pd.DataFrame:
    """Merge the groups evenly: the i-th of n stands at (i - 1/2) / n; the conventional ad first in a tie."""
    size = chosen.groupby(["user_id", "group"])["ad_id"].transform("size")
    chosen = chosen.assign(at=(chosen["turn"] - 0.5) / size)
    chosen = chosen.sort_values(["user_id", "at", "group"], ignore_index=True)
    chosen["rank"] = chosen.groupby("user_id", sort=False).cumcount() + 1
    return chosen[COLUMNS]
