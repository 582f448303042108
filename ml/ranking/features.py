"""Ranker features, point in time: a row of day d sees what was known by the end of day d - 1.

Profile, ad, the user's history with the ad, its advertiser, category and vertical, popularity, and the
prior. No ids, so nothing is learned by heart; no position, which is not known when ranking. It does not know labels.

    features = build_features(lake, rows)             # FEATURES_BASE
    features = build_features(lake, rows, priors)     # and FEATURES_PRIOR
"""

from __future__ import annotations

import zlib

import duckdb
import numpy as np
import pandas as pd

from ml.errors import BadInput
from ml.lake import Lake
from ml.ranking.counts import KEYS, counts, create_facts
from ml.ranking.priors import FEATURES_PRIOR, prior_features
from ml.ranking.registers import create_versions

NEVER = 9_999.0
"""Fill of "days since", for what has not happened."""
UNKNOWN = -1.0
"""Fill of a price or an age that is not known."""
SMOOTHING = 20.0
"""Impressions' worth of belief in the level above, when a click or conversion rate is estimated."""
CODES = ("age_bucket", "gender", "region", "category", "vertical", "surface")
RATES = ("advertiser_ctr_28d", "advertiser_cvr_28d", "ad_ctr_28d", "ad_cvr_28d")
SHARES = ("user_category_share_28d", "user_vertical_share_28d")
FEATURES_BASE = [
    *(f"{name}_code" for name in CODES),
    "ad_log_price",
    "ad_age_days",
    *(name for key in KEYS if key.name != "everyone" for name in key.features),
    *RATES,
    *SHARES,
]
NEEDED = ["user_id", "ad_id", "advertiser_id", "day", "surface"]

_ASKED = """
CREATE TEMP TABLE asked AS
SELECT r.*, 1 AS everyone, a.category, a.price, coalesce(a.created_at::DATE, f.filed) AS created,
       u.age_bucket, u.gender, u.region, v.vertical
FROM given r
ASOF LEFT JOIN ads_versions a ON a.ad_id = r.ad_id AND a.known_day < r.day
ASOF LEFT JOIN users_versions u ON u.user_id = r.user_id AND u.known_day < r.day
LEFT JOIN ad_filed f ON f.ad_id = r.ad_id AND f.filed < r.day
LEFT JOIN advertiser_filed v ON v.advertiser_id = r.advertiser_id AND v.filed < r.day
"""


def build_features(lake: Lake, rows: pd.DataFrame, priors: pd.DataFrame | None = None) -> pd.DataFrame:
    """Features of each row, in the order of `rows` and with its index.

    Args:
        rows: user_id, ad_id, advertiser_id, day (date), surface; with priors also prior_day.
        priors: predictions of one source, see `prior_features`; None leaves the prior columns out.

    Returns:
        FEATURES_BASE, then FEATURES_PRIOR if priors are given; float32 without nulls.

    Raises:
        BadInput: a column of `rows` is missing.
    """
    if missing := [c for c in NEEDED if c not in rows.columns]:
        raise BadInput(f"columns missing: {missing}", where="rows to rank", remedy="pass what ranker_rows returns")
    con = lake.connect()  # every query below compares days itself
    create_versions(con, lake)
    create_facts(con)
    given = rows[NEEDED].assign(day=pd.to_datetime(rows["day"]), row=np.arange(len(rows)))
    given["surface"] = given["surface"].astype("string")
    con.register("arrived", given)
    con.execute("CREATE TEMP TABLE given AS SELECT * REPLACE (day::DATE AS day) FROM arrived")
    con.execute(_ASKED)
    found = pd.concat([_static(con), *(counts(con, key) for key in KEYS)], axis=1)
    found = _fill(found).set_index(rows.index)
    base = found[FEATURES_BASE].astype(np.float32)
    if priors is None:
        return base
    return pd.concat([base, prior_features(rows, priors, verticals(lake))], axis=1)


def verticals(lake: Lake) -> pd.Series:
    """Vertical of every advertiser as first filed, by advertiser_id."""
    con = lake.connect()
    create_versions(con, lake)
    found = con.execute("SELECT advertiser_id, vertical FROM advertiser_filed ORDER BY advertiser_id").df()
    return found.set_index("advertiser_id")["vertical"]


def feature_code(value: str) -> float:
    """Code of a category: a hash, so that it is the same in every run and process; 0 is null.

    65,521 codes (a prime, exact in float32): two of 100 values share one with probability about .07.
    """
    return 1.0 + zlib.crc32(value.encode()) % 65_521


def _static(con: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    found = con.execute(
        f"""SELECT {", ".join(CODES)}, ln(1 + price) AS ad_log_price,
                   CASE WHEN created < day THEN (day - created)::DOUBLE END AS ad_age_days
            FROM asked ORDER BY row"""
    ).df()
    for name in CODES:
        codes, values = pd.factorize(found.pop(name))
        lookup = np.array([*(feature_code(str(v)) for v in values), 0.0])
        found[f"{name}_code"] = lookup[codes]  # null is -1: the last entry
    return found


def _fill(found: pd.DataFrame) -> pd.DataFrame:
    """Rates, shares and explicit values for what is not known."""
    added: dict[str, pd.Series] = {}
    for rate, hits in (("ctr", "clicks"), ("cvr", "attributed")):
        above = found[f"everyone_{hits}_28d"] / found["everyone_impressions_28d"].clip(lower=1)
        for level in ("advertiser", "ad"):  # an ad is smoothed towards its advertiser, that towards everyone
            seen = found[f"{level}_impressions_28d"]
            above = (found[f"{level}_{hits}_28d"] + SMOOTHING * above) / (seen + SMOOTHING)
            added[f"{level}_{rate}_28d"] = above
    of_user = found["user_searches_28d"] + found["user_visits_28d"]
    for level in ("category", "vertical"):
        mine = found[f"user_{level}_searches_28d"] + found[f"user_{level}_visits_28d"]
        added[f"user_{level}_share_28d"] = mine / of_user.clip(lower=1)
    since = {name: NEVER for name in found.columns if name.endswith("_days_since_conversion")}
    filled = found.fillna({**since, "ad_log_price": UNKNOWN, "ad_age_days": UNKNOWN})
    return filled.assign(**added)


__all__ = ["FEATURES_BASE", "FEATURES_PRIOR", "build_features", "feature_code", "verticals"]
