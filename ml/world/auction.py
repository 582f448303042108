"""One block of auctions, as array arithmetic: who wins which place, and at what price.

A bidder i bids b_i dollars a click with an expected click rate s_i at the top place; its value is v_i = b_i s_i, the
dollars an impression is expected to be worth. The best ad of each advertiser takes part if v_i >= r, the reserve.
Places go by v; the j-th place (j = 0, 1, ...) is looked at L^j as often as the top and costs, per impression,

    p_j = L^j max(v_(j+1), r)

with v_(j+1) the next best value: the generalised second price (Edelman, Ostrovsky and Schwarz 2007, "Internet
advertising and the generalized second-price auction") a click, max(v_(j+1), r) / s_j, times the expected clicks
L^j s_j. Billed by impression, as platforms do that optimise for clicks: so p_j <= b_j, and spend is the sum of
`price_paid`. A request of the random slice ranks its bidders uniformly at random, and each place costs L^j r.

It does not know where bids and scores come from, nor budgets: whoever may not take part has value minus infinity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

POSITION_DECAY = 0.65
"""L: a place is looked at this much as often as the one above it."""
MOST_CANDIDATES = 64
_SLOT_BITS, _VALUE_BITS = 6, 26
_SLOT_MASK = 2**_SLOT_BITS - 1
_RANGE = 32.0
"""Log values lie between minus and plus half of this."""


@dataclass(frozen=True)
class Won:
    """Places that were filled, by request, then place.

    Attributes:
        row, slot: candidate matrix coordinates of each winner.
        place: its place from 0.
        next_value: dollars an impression at the top, what it took to beat: max(v_(j+1), r), or r in the random slice.
        bidders: (requests,) number of advertisers that took part.
    """

    row: np.ndarray
    slot: np.ndarray
    place: np.ndarray
    next_value: np.ndarray
    bidders: np.ndarray


def run_auctions(
    log_value: np.ndarray,
    advertiser: np.ndarray,
    places: np.ndarray,
    reserve: float,
    explored: np.ndarray,
    luck: np.ndarray,
) -> Won:
    """Run one auction a row.

    Args:
        log_value: (n, K) float32 log of each candidate's value in dollars; -inf for one that does not take part.
        advertiser: (n, K) its advertiser, a whole number >= 0.
        places: (n,) ads to show.
        reserve: r, dollars.
        explored: (n,) True where the request is of the random slice.
        luck: (n, K) uint64 random keys, which rank the bidders of the random slice.
    """
    k = log_value.shape[1]
    if k > MOST_CANDIDATES:
        raise ValueError(f"{k} candidates a request; there may be {MOST_CANDIDATES}")
    best = _best_of_each(log_value, advertiser, np.log(reserve))
    bidders = (best >= 0).sum(axis=1)
    _shuffle(best, np.flatnonzero(explored), luck)
    best.sort(axis=1)
    most = min(int(places.max(initial=0)), k)
    ranked = best[:, ::-1][:, : most + 1]
    filled = (ranked[:, :most] >= 0) & (np.arange(most) < places[:, None])
    row, place = np.nonzero(filled)
    slot = (ranked[row, place] & _SLOT_MASK).astype(np.int64)
    following = np.full(len(row), -1, dtype=np.int64)
    inside = place + 1 < ranked.shape[1]
    following[inside] = ranked[row[inside], place[inside] + 1]
    beaten = np.exp(log_value[row, np.maximum(following, 0) & _SLOT_MASK].astype(np.float64))
    second = (following >= 0) & ~explored[row]
    return Won(row, slot, place, np.where(second, np.maximum(beaten, reserve), reserve), bidders)


def _best_of_each(log_value: np.ndarray, advertiser: np.ndarray, floor: float) -> np.ndarray:
    """(n, K) int64 in any order: value and slot of each advertiser's best candidate, -1 for all others.

    Value and slot are packed into one whole number, so that two sorts without indices do everything.
    """
    scaled = (np.clip(log_value, -_RANGE / 2, _RANGE / 2 - 1e-3) + _RANGE / 2) * (2**_VALUE_BITS / _RANGE)
    packed: np.ndarray = scaled.astype(np.int64) << _SLOT_BITS | np.arange(log_value.shape[1])
    packed |= advertiser.astype(np.int64) << (_SLOT_BITS + _VALUE_BITS)
    packed[log_value < floor] = -1
    packed.sort(axis=1)
    owner = packed >> (_SLOT_BITS + _VALUE_BITS)
    beaten = owner[:, :-1] == owner[:, 1:]
    packed &= 2 ** (_SLOT_BITS + _VALUE_BITS) - 1
    packed[:, :-1][beaten] = -1
    packed[owner < 0] = -1
    return packed


def _shuffle(best: np.ndarray, rows: np.ndarray, luck: np.ndarray) -> None:
    """Put random numbers for the values of some rows' bidders."""
    if not len(rows):
        return
    some = best[rows]
    slot = np.maximum(some, 0) & _SLOT_MASK
    drawn = np.take_along_axis(luck[rows], slot, axis=1) >> np.uint64(64 - _VALUE_BITS)
    best[rows] = np.where(some >= 0, drawn.astype(np.int64) << _SLOT_BITS | slot, -1)
