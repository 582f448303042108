"""Ranker features, point in time: a row of day d sees what was known by the end of day d - 1.

Looks up the raw columns of every block (`ml.ranking.blocks`) for rows of any users, ads and days: profile, ad, the
user's history with the ad, its advertiser, category and vertical, popularity, and the priors. Rows go through chunk by
chunk, so memory is bounded by a chunk and the accumulated counts. It does not know labels.

    features = build_features(lake, rows)             # FEATURES_BASE
    features = build_features(lake, rows, priors)     # and FEATURES_PRIOR
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import duckdb
import numpy as np
import pandas as pd

from ml.errors import BadInput
from ml.lake import Lake
from ml.ranking.blocks import BASE, feature_matrix, finish, names_of
from ml.ranking.converts import ConvertsModel
from ml.ranking.counts import KEYS, columns_of, counts, create_facts
from ml.ranking.priors import prior_features
from ml.ranking.registers import create_versions

CODES = ("age_bucket", "gender", "region", "category", "vertical", "surface")
FEATURES_BASE = names_of(BASE)
NEEDED = ["user_id", "ad_id", "advertiser_id", "day", "surface"]
CHUNK = 100_000
"""Rows looked up at once."""

_ASKED = """
CREATE OR REPLACE TEMP TABLE asked AS
SELECT r.*, 1 AS everyone, a.category, a.price, coalesce(a.created_at::DATE, f.filed) AS created,
       u.age_bucket, u.gender, u.region, v.vertical
FROM given r
ASOF LEFT JOIN ads_versions a ON a.ad_id = r.ad_id AND a.known_day < r.day
ASOF LEFT JOIN users_versions u ON u.user_id = r.user_id AND u.known_day < r.day
LEFT JOIN ad_filed f ON f.ad_id = r.ad_id AND f.filed < r.day
LEFT JOIN advertiser_filed v ON v.advertiser_id = r.advertiser_id AND v.filed < r.day
"""


class FeatureSource:
    """The base features of any rows of one lake; what all rows share is computed once.

    Args:
        lake: validated logs.
        converts: forecasts P(converts); None: not known, for every row.
    """

    def __init__(self, lake: Lake, converts: ConvertsModel | None = None) -> None:
        self.converts = converts
        self.con = lake.connect()  # every query below compares days itself
        create_versions(self.con, lake)
        create_facts(self.con)

    def matrix(self, rows: pd.DataFrame) -> np.ndarray:
        """FEATURES_BASE of each row, float32 without nulls, shape (n, len(FEATURES_BASE)).

        Raises:
            BadInput: a column of `rows` is missing.
        """
        raw = self.raw(rows)
        return feature_matrix([(finish(block, raw), None) for block in BASE], len(rows))

    def chunks(self, rows: pd.DataFrame, size: int = CHUNK) -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
        """The rows, `size` at a time, each with its `matrix`."""
        for first in range(0, len(rows), size):
            part = rows.iloc[first : first + size]
            yield part, self.matrix(part)

    def raw(self, rows: pd.DataFrame) -> dict[str, np.ndarray]:
        """What BASE is made of, by name, each of shape (n,)."""
        if missing := [c for c in NEEDED if c not in rows.columns]:
            raise BadInput(f"columns missing: {missing}", where="rows to rank", remedy="pass what ranker_rows returns")
        given = rows[NEEDED].assign(day=pd.to_datetime(rows["day"]), row=np.arange(len(rows)))
        given["surface"] = given["surface"].astype("string")
        self.con.register("arrived", given)
        self.con.execute("CREATE OR REPLACE TEMP TABLE given AS SELECT * REPLACE (day::DATE AS day) FROM arrived")
        self.con.execute(_ASKED)
        self.con.unregister("arrived")
        found = _static(self.con)
        for key in KEYS:
            found |= counts(self.con, key)
        return found | {"user_p_converts": p_converts(self.converts, found, len(rows))}


def build_features(
    lake: Lake, rows: pd.DataFrame, priors: pd.DataFrame | None = None, converts: ConvertsModel | None = None
) -> pd.DataFrame:
    """Features of each row, in the order of `rows` and with its index.

    Args:
        rows: user_id, ad_id, advertiser_id, day (date), surface; with priors also prior_day.
        priors: predictions of one source, see `prior_features`; None leaves the prior columns out.
        converts: forecasts P(converts); None: not known.

    Returns:
        FEATURES_BASE, then FEATURES_PRIOR if priors are given; float32 without nulls.

    Raises:
        BadInput: a column of `rows` is missing.
    """
    parts = [matrix for _, matrix in FeatureSource(lake, converts).chunks(rows)]
    everything = np.concatenate(parts) if parts else np.empty((0, len(FEATURES_BASE)), np.float32)
    base = pd.DataFrame(everything, columns=FEATURES_BASE, index=rows.index)
    if priors is None:
        return base
    return pd.concat([base, prior_features(rows, priors, verticals(lake))], axis=1)


def p_converts(model: ConvertsModel | None, raw: dict[str, np.ndarray], n: int) -> np.ndarray:
    """P(converts) by the user's own counts, shape (n,); nan without a model."""
    return np.full(n, np.nan) if model is None else model.predict(raw)


def verticals(lake: Lake) -> pd.Series:
    """Vertical of every advertiser as first filed, by advertiser_id."""
    return _filed(lake, "SELECT advertiser_id, vertical FROM advertiser_filed ORDER BY advertiser_id")


def categories(lake: Lake) -> pd.Series:
    """Category of every ad as first filed, by ad_id."""
    return _filed(lake, "SELECT ad_id, category FROM ad_filed ORDER BY ad_id")


def _filed(lake: Lake, query: str) -> pd.Series:
    with lake.connect() as con:
        create_versions(con, lake)
        found = con.execute(query).df()
    return found.set_index(found.columns[0])[found.columns[1]]


def feature_code(value: str) -> float:
    """Code of a category: a hash, so that it is the same in every run and process; 0 is null.

    65,521 codes (a prime, exact in float32): two of 100 values share one with probability about .07.
    """
    return 1.0 + zlib.crc32(value.encode()) % 65_521


def codes_of(values: pd.Series) -> np.ndarray:
    """Code of each value, shape (n,)."""
    places, distinct = pd.factorize(values)
    lookup = np.array([*(feature_code(str(v)) for v in distinct), 0.0])
    found: np.ndarray = lookup[places]  # null is -1: the last entry
    return found


def _static(con: duckdb.DuckDBPyConnection) -> dict[str, np.ndarray]:
    found = columns_of(
        con,
        """SELECT ln(1 + price)::DOUBLE AS ad_log_price,
                  CASE WHEN created < day THEN (day - created)::DOUBLE END AS ad_age_days
           FROM asked ORDER BY row""",
    )
    texts = con.execute(f"SELECT {', '.join(CODES)} FROM asked ORDER BY row").df()
    return found | {f"{name}_code": codes_of(texts[name]) for name in CODES}
