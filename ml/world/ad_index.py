"""Which ads may be proposed: draws of active ads by popularity within a subvertical, by popularity, or at random.

    index = AdIndex(catalogue, day)
    ads = index.popular(groups, keys)      # (n, K) ads; group s: of subvertical s; group S: of all
    ads = index.any(keys)

A draw costs the same for ten and for a million ads: Walker's alias method (Walker 1977, "An efficient method for
generating discrete random variables with general distributions") draws an advertiser in proportion to its popularity,
and then one of its ads uniformly. It does not know users.
"""

from __future__ import annotations

import numpy as np

from ml.world.catalogue import Catalogue
from ml.world.draws import Keys

_LOW24, _LOW16 = np.uint64(2**24 - 1), np.uint64(2**16 - 1)
_S24, _S40 = np.uint64(24), np.uint64(40)


class AdIndex:
    """Alias tables of the advertisers active on a day: one a subvertical, and one of all.

    Raises:
        ValueError: a subvertical has no active advertiser.
    """

    def __init__(self, catalogue: Catalogue, day: int) -> None:
        owner = catalogue.ad_advertiser
        self._ads = np.argsort(owner, kind="stable")
        self._count = np.bincount(owner, minlength=len(catalogue.names))
        self._first = np.cumsum(self._count) - self._count
        active = catalogue.active(day)
        self._active_ads = np.flatnonzero(active[owner])
        popularity = catalogue.ad_popularity * active[owner]
        weight = np.bincount(owner, popularity, minlength=len(catalogue.names))
        everybody = np.flatnonzero(active)
        groups = [np.flatnonzero(active & (catalogue.sub == s)) for s in range(len(catalogue.subverticals))]
        if any(len(group) == 0 for group in groups):
            raise ValueError(f"a subvertical has no active advertiser on day {day}")
        tables = [_alias_table(group, weight[group]) for group in (*groups, everybody)]
        self._size = np.array([len(table[0]) for table in tables], dtype=np.uint64)
        self._offset = (np.cumsum(self._size) - self._size).astype(np.int64)
        self._own, self._other, self._kept = (np.concatenate([table[i] for table in tables]) for i in range(3))

    @property
    def everything(self) -> int:
        """Number of the group that holds all active advertisers."""
        return len(self._size) - 1

    def popular(self, groups: np.ndarray, keys: Keys) -> np.ndarray:
        """(n, K) ads, one per group and key (n, K)."""
        cell = self._offset[groups] + ((keys & _LOW24) * self._size[groups] >> _S24).astype(np.int64)
        stays = (keys >> _S24 & _LOW16).astype(np.int32) < self._kept[cell]
        return self.of(np.where(stays, self._own[cell], self._other[cell]), keys)

    def any(self, keys: Keys) -> np.ndarray:
        """Active ads, uniformly, one per key."""
        n = np.uint64(len(self._active_ads))
        found: np.ndarray = self._active_ads[((keys & _LOW24) * n >> _S24).astype(np.int64)]
        return found

    def of(self, advertisers: np.ndarray, keys: Keys) -> np.ndarray:
        """One ad of each advertiser, uniformly by key."""
        turn = ((keys >> _S40) * self._count[advertisers].astype(np.uint64) >> _S24).astype(np.int64)
        found: np.ndarray = self._ads[self._first[advertisers] + turn]
        return found


def _alias_table(members: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Own member, other member and 2^16 x P(own) of each of len(members) cells."""
    n = len(members)
    scaled = (weight * n / weight.sum()).tolist()
    kept, other = [1.0] * n, list(range(n))
    small = [i for i in range(n) if scaled[i] < 1]
    large = [i for i in range(n) if scaled[i] >= 1]
    while small and large:
        less, more = small.pop(), large[-1]
        kept[less], other[less] = scaled[less], more
        scaled[more] -= 1 - scaled[less]
        if scaled[more] < 1:
            small.append(large.pop())
    return members, members[other], np.round(np.array(kept) * 2**16).astype(np.int32)
