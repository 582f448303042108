"""Ranker rows of a log without impressions: conversions with an ad, and ads drawn as their negatives.

Positives and negatives alike are ads filed before the day: otherwise "not seen before" would give the
label away. What the draw favours, the ranker learns to correct for: probabilities are relative to the sample.
"""

from __future__ import annotations

import duckdb
import numpy as np
import pandas as pd

from ml.lake import Lake
from ml.ranking.registers import create_versions
from ml.ranking.targets import LABELS
from ml.timeline import Window

POPULARITY_POWER = 0.75
"""Negatives are drawn by (conversions before the day) ** power, as in word2vec: popular ads, but not only they."""
UNIFORM_SHARE = 0.25
"""Share of the draws that are uniform over the ads on offer, so that rare ads are negatives too."""

BOUGHT = """
SELECT DISTINCT c.user_id, c.ad_id, f.advertiser_id, c.event_time::DATE AS day
FROM conversions c JOIN ad_filed f ON f.ad_id = c.ad_id AND f.filed < c.event_time::DATE
SEMI JOIN allowed ON allowed.user_id = c.user_id
WHERE c.event_time >= $first AND c.event_time < $last + 1
      AND coalesce(c.known_at, c.event_time) < (c.event_time::DATE + $outcome + 1)::TIMESTAMP
ORDER BY day, c.user_id, c.ad_id
"""
"""Positives where there are no impressions; needs `allowed`, `create_versions` and $first, $last, $outcome."""

_ON_OFFER = """
SELECT ad_id, advertiser_id, greatest(ad_filed.filed, f.filed, a.active_from - 1) AS filed,
       coalesce(a.active_to, DATE '9999-12-31') AS active_to
FROM ad_filed JOIN advertiser_filed f USING (advertiser_id) JOIN advertisers a USING (advertiser_id) ORDER BY ad_id
"""

_SOLD = """
SELECT ad_id, coalesce(known_at, event_time)::DATE AS day, count(*) AS n
FROM conversions WHERE ad_id IS NOT NULL GROUP BY ALL ORDER BY day, ad_id
"""


def sampled_rows(
    con: duckdb.DuckDBPyConnection,
    lake: Lake,
    window: Window,
    *,
    outcome_days: int,
    negatives: int,
    max_rows: int | None,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """row_id, user_id, ad_id, advertiser_id, day (datetime64), surface (null), label, LABELS (0); by day, then row_id.

    Args:
        con: connection with a view `allowed` of the user_ids to use; conversions it shows are all that is read.
        window: days of the conversions; a conversion known later than outcome_days after its day is no positive.
        negatives: draws per positive. A draw that hits a positive, or an earlier draw, of the same user
            and day is dropped.
        max_rows: whole users are left out at random so that about so many rows come out; None for all.
    """
    create_versions(con, lake)
    bought = con.execute(BOUGHT, {"first": window.first, "last": window.last, "outcome": outcome_days}).df()
    bought = whole_users(bought, None if max_rows is None else max(1, max_rows // (1 + negatives)), rng)
    drawn = _draw(bought, con.execute(_ON_OFFER).df(), con.execute(_SOLD).df(), negatives, rng)
    rows = pd.concat([bought.assign(label=1), drawn.assign(label=0)], ignore_index=True)
    rows = rows.drop_duplicates(["user_id", "day", "ad_id"])  # keeps the positive: they stand first
    names = rows["user_id"] + "/" + rows["day"].dt.strftime("%Y-%m-%d") + "/" + rows["ad_id"]
    rows = rows.assign(
        row_id=names, surface=pd.Series(None, index=rows.index, dtype=object), **dict.fromkeys(LABELS, 0)
    )
    return rows.sort_values(["day", "row_id"], ignore_index=True)


def whole_users(rows: pd.DataFrame, most: int | None, rng: np.random.Generator) -> pd.DataFrame:
    """All rows of users in random order, as long as they fit into `most`; everything if it fits or `most` is None."""
    if most is None or len(rows) <= most:
        return rows
    sizes = rows.groupby("user_id").size()
    sizes = sizes.iloc[rng.permutation(len(sizes))]
    kept = sizes.index[sizes.cumsum() <= most]
    return rows[rows["user_id"].isin(kept)].reset_index(drop=True)


def _draw(
    bought: pd.DataFrame, ads: pd.DataFrame, sold: pd.DataFrame, negatives: int, rng: np.random.Generator
) -> pd.DataFrame:
    """`negatives` ads per row of `bought`, from what was on offer and sold before its day."""
    sold = sold[sold["ad_id"].isin(ads["ad_id"])]
    ad_ids, advertiser_ids = ads["ad_id"].to_numpy(), ads["advertiser_id"].to_numpy()
    ad, n, sold_day = (
        pd.Index(ad_ids).get_indexer(pd.Index(sold["ad_id"])),
        sold["n"].to_numpy(),
        sold["day"].to_numpy(),
    )
    counts, done, parts = np.zeros(len(ads)), 0, [bought.iloc[:0]]
    for day in np.sort(bought["day"].unique()):
        mine = bought.loc[bought["day"] == day, ["user_id", "day"]]
        until = int(np.searchsorted(sold_day, day, side="left"))
        np.add.at(counts, ad[done:until], n[done:until])
        done = until
        offered = ((ads["filed"] < day) & (ads["active_to"] >= day)).to_numpy()
        if offered.any():
            chosen = _choose(np.where(offered, counts, 0.0), offered, len(mine) * negatives, rng)
            again = mine.loc[mine.index.repeat(negatives)]
            parts.append(again.assign(ad_id=ad_ids[chosen], advertiser_id=advertiser_ids[chosen]))
    return pd.concat(parts, ignore_index=True)


def _choose(counts: np.ndarray, offered: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    weights = offered / offered.sum()
    popular = counts**POPULARITY_POWER
    if popular.any():
        weights = UNIFORM_SHARE * weights + (1 - UNIFORM_SHARE) * popular / popular.sum()
    drawn = np.searchsorted(np.cumsum(weights), rng.random(n), side="right")
    # Never past the last ad with weight, whatever the rounding of the last edge.
    chosen: np.ndarray = np.minimum(drawn, np.flatnonzero(weights)[-1])
    return chosen
