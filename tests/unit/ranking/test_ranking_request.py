"""Online = offline: the matrix of a request is, bit for bit, what training makes of the same raw columns."""

from __future__ import annotations

import numpy as np
import pytest

from ml.ranking.blocks import AD, BASE, PRIORS, Block, Raw, feature_matrix, finish, names_of
from ml.ranking.counts import KEYS
from ml.ranking.request import PairRows, RequestTables

N_USERS, N_ADS = 4, 40
SIZES = {"advertiser": 12, "category": 5, "vertical": 3, "ad": N_ADS}
SHARES = ("user_searches_28d", "user_visits_28d")
RAW = {
    **{block.name: [name for name in block.features if not name.endswith("_share_28d")] for block in BASE},
    "ad": [name for name in AD.features if "_ctr_" not in name and "_cvr_" not in name],
    "prior_user": ["listed", "staleness"],
    "prior_advertiser": ["probability", "rank"],
    "prior_vertical": ["vertical_mass"],
    "prior_category": ["interest"],
}
"""Columns that are looked up, by block."""
EVERYONE = next(key for key in KEYS if key.name == "everyone").features
OF_USER = ("listed", "total", "interests", *SHARES)
"""Columns of the user that other blocks derive from too."""


@pytest.fixture(scope="module")
def known() -> dict[str, dict[str, np.ndarray]]:
    """Raw columns by block: of users (n_users,), ads (n_ads,) and pairs (n_users, n_others).

    Half of the pairs are unknown: 0 in counts, nan in priors.
    """
    rng = np.random.default_rng(0)
    found = {}
    for name, columns in RAW.items():
        half = name.rpartition("_")[2]
        shape = {"user": (N_USERS,), "ad": (N_ADS,)}.get(name) or (N_USERS, SIZES.get(half, 1))
        unknown = rng.random(shape) < 0.5 if half in SIZES and name != "ad" else np.zeros(shape, bool)
        nothing = np.nan if name.startswith("prior") else 0.0
        found[name] = {c: np.where(unknown, np.nan if "days_since" in c else nothing, rng.integers(1, 50, shape) / 64)
                       for c in columns}  # fmt: skip
    of_user = {name: rng.integers(1, 50, N_USERS).astype(float) for name in OF_USER}
    of_user["listed"][3] = of_user["interests"][3] = np.nan  # nobody scored user 3
    of_user |= {name: found["user"][name] for name in SHARES}
    found["of_user"] = of_user
    found["ad"] |= {name: np.full(N_ADS, 7.0) for name in EVERYONE}
    return found


def halves() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {name: rng.integers(0, SIZES[name], N_ADS) for name in ("advertiser", "category", "vertical")}


def pair_rows(block: Block, columns: Raw, of_user: Raw) -> PairRows:
    """What a store keeps: of each user a row for "not known", then a row for every pair that is known."""
    first = next(iter(columns.values()))
    rows, other, offsets = [], [], [0]
    for user in range(N_USERS):
        kept = np.flatnonzero(np.nan_to_num(first[user]) != 0)
        nothing = np.nan if block.name.startswith("prior") else 0.0
        raw = {c: np.array([np.nan if "days_since" in c else nothing, *v[user][kept]]) for c, v in columns.items()}
        raw |= {name: np.full(len(kept) + 1, values[user]) for name, values in of_user.items()}
        rows.append(finish(block, raw))
        other += [0, *kept]
        offsets.append(len(other))
    n = SIZES[block.name.rpartition("_")[2]]
    return PairRows(np.array(offsets), np.concatenate(rows), np.array(other), np.zeros(n, np.int64))


def test_a_request_is_what_training_makes_of_the_same_columns(known):
    blocks, of_ad = {block.name: block for block in (*BASE, *PRIORS)}, halves()
    of_user = known["of_user"]
    pairs = {name: pair_rows(blocks[name], known[name], of_user) for name in RAW
             if name.rpartition("_")[2] in SIZES and name != "ad"}  # fmt: skip
    prior_user = {"listed": of_user["listed"], "staleness": known["prior_user"]["staleness"][:, 0]}
    tables = RequestTables(
        finish(blocks["user"], known["user"]),
        finish(AD, known["ad"]),
        finish(blocks["prior_user"], prior_user),
        of_ad,
        pairs,
    )
    ads = np.random.default_rng(2).choice(N_ADS, 25, replace=False)
    context = finish(blocks["context"], {"surface_code": np.array([77.0])})
    for user in range(N_USERS):
        raw = {name: np.full(25, values[user]) for name, values in {**of_user, **known["user"]}.items()}
        raw |= {name: values[ads] for name, values in known["ad"].items()} | {"surface_code": np.full(25, 77.0)}
        raw["staleness"] = np.full(25, prior_user["staleness"][user])
        for name in pairs:
            other = {**of_ad, "ad": np.arange(N_ADS)}[name.rpartition("_")[2]][ads]
            raw |= {column: values[user][other] for column, values in known[name].items()}
        expected = feature_matrix([(finish(block, raw), None) for block in (*BASE, *PRIORS)], 25)
        found = tables.matrix(user, ads, context)
        assert found.dtype == np.float32 and found.flags.c_contiguous
        for place, name in enumerate(names_of([*BASE, *PRIORS])):
            assert np.array_equal(found[:, place], expected[:, place]), (user, name)
    assert all(not rows.slot.any() for rows in pairs.values()), "the scratch is left clean"
