"""Features of one request, online: array takes from blocks that were finished when a store was built.

A store holds a row of every ad (its advertiser's figures included), a row of every user, and of every user the rows of
the advertisers, ads, categories and verticals that he has a history or a prior with. A request names a user and ads by
number, and gets the matrix that training would have made of them: the same `finish` before, the same `feature_matrix`
now. A pair that is not stored has the block's row for "nothing known"; of priors that is the user's own row for "not
listed". It does not know how a store is filled, and looks nothing up by name.

    tables = RequestTables(...)
    matrix = tables.matrix(user, ads, context)      # shape (len(ads), len(names_of([*BASE, *PRIORS])))
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.ranking.blocks import feature_matrix


@dataclass(frozen=True)
class PairRows:
    """Finished rows of one block by user: those of user u are rows[offsets[u]:offsets[u + 1]].

    The first row of each user is that of a pair which is not stored.

    Attributes:
        offsets: shape (n_users + 1,).
        rows: float32, shape (n_rows, width).
        other: number of the other half of each row, shape (n_rows,); of a user's first row it is not read.
        slot: scratch, shape (n_others,): where among the user's rows each other half lies; zero between requests.
    """

    offsets: np.ndarray
    rows: np.ndarray
    other: np.ndarray
    slot: np.ndarray

    def of(self, user: int, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The user's rows, and which of them is that of each of `others`."""
        first, last = self.offsets[user], self.offsets[user + 1]
        mine = self.other[first + 1 : last]
        self.slot[mine] = np.arange(1, len(mine) + 1)
        places = self.slot[others]
        self.slot[mine] = 0
        return self.rows[first:last], places


@dataclass(frozen=True)
class RequestTables:
    """Finished blocks of one day, and what belongs to what.

    Attributes:
        users: block `user`, shape (n_users, width).
        ads: block `ad`, shape (n_ads, width).
        prior_users: block `prior_user`, shape (n_users, width).
        halves: number of the advertiser, category and vertical of each ad ("advertiser", "category", "vertical"),
            shape (n_ads,) each.
        pairs: by block name: user_advertiser, user_ad, user_category, user_vertical, prior_advertiser,
            prior_vertical, prior_category.
    """

    users: np.ndarray
    ads: np.ndarray
    prior_users: np.ndarray
    halves: dict[str, np.ndarray]
    pairs: dict[str, PairRows]

    def matrix(self, user: int, ads: np.ndarray, context: np.ndarray) -> np.ndarray:
        """Features of the ads for the user, float32, shape (len(ads), number of features).

        Args:
            user: number of the user.
            ads: numbers of the ads, shape (n,).
            context: block `context` of the request, shape (1, width).
        """
        halves = {name: of_ad[ads] for name, of_ad in self.halves.items()} | {"ad": ads}
        pair = {name: rows.of(user, halves[name.rpartition("_")[2]]) for name, rows in self.pairs.items()}
        one = slice(user, user + 1)
        return feature_matrix(
            [
                *((self.users[one], None), (context, None), (self.ads, ads)),
                *(pair[name] for name in ("user_advertiser", "user_ad", "user_category", "user_vertical")),
                (self.prior_users[one], None),
                *(pair[name] for name in ("prior_advertiser", "prior_vertical", "prior_category")),
            ],
            len(ads),
        )
