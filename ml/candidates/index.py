"""The index of a day: the ads that may be shown, and the vectors of ads and users as the towers see them that day.

A model serves many days: new ads, ended advertisers and the users' newer events come in here, without a training.
"""

from __future__ import annotations

from datetime import date, timedelta

import duckdb
import numpy as np
import pandas as pd

from ml.candidates.ad_retrieval import AdRetrieval
from ml.candidates.ad_tokens import known_ads
from ml.candidates.eligibility import Rules, barred_of, reasons_of
from ml.candidates.settings import CandidateSettings
from ml.candidates.two_tower import TwoTower
from ml.contexts.stream import UserContexts
from ml.errors import BadInput
from ml.lake import Lake

_POPULARITY = {
    "conversions": """
        SELECT ad_id, count(*) AS ever, count(*) FILTER (coalesce(known_at, event_time) >= $since) AS lately
        FROM conversions SEMI JOIN (SELECT user_id FROM users WHERE consent) USING (user_id)
        WHERE ad_id IS NOT NULL GROUP BY ad_id
    """,
    "clicks": """
        SELECT i.ad_id, count(*) AS ever, count(*) FILTER (c.event_time >= $since) AS lately
        FROM clicks c JOIN impressions i USING (impression_id)
        SEMI JOIN (SELECT user_id FROM users WHERE consent) u ON u.user_id = i.user_id GROUP BY i.ad_id
    """,
}


def index_of_day(
    towers: TwoTower, lake: Lake, contexts: UserContexts, settings: CandidateSettings
) -> tuple[AdRetrieval, pd.DataFrame]:
    """Vectors of the day of `contexts`, and the ads that may be shown to nobody.

    Args:
        towers: trained by then.
        lake: validated logs; nothing known after the day is read.
        contexts: streams of the users that shall have a vector, as of the day.
        settings: popularity and eligibility.

    Returns:
        The retrieval of the day, and ad_id, advertiser_id, reason of each ad that may not be shown.

    Raises:
        BadInput: no ad is eligible, or the towers are from a later day.
    """
    day, rules = contexts.as_of, Rules.read(settings.eligibility)
    if towers.known_until > day:
        raise BadInput(
            f"the towers know what happened until {towers.known_until}, the index is of {day}",
            where="retrieval model",
            remedy="use a model that was trained on the day or before it",
        )
    with lake.connect(as_of=day) as con:
        ads = _by_popularity(con, known_ads(con), day, settings)
        reasons = reasons_of(con, ads, day, rules)
    removed = ads.assign(reason=reasons)[reasons.notna()][["ad_id", "advertiser_id", "reason"]]
    ads = ads[reasons.isna()].reset_index(drop=True)
    if ads.empty:
        raise BadInput(
            f"no ad may be shown on {day}",
            where=f"tables ads and advertisers in {lake.root}",
            remedy="deliver ads whose advertiser is active (active_from, active_to) on the day",
        )
    retrieval = AdRetrieval(
        as_of=day,
        user_ids=contexts.user_ids.astype(object),
        user_factors=towers.user_vectors(contexts),
        ads=ads[["ad_id", "advertiser_id", "category", "vertical", "popularity"]],
        ad_factors=towers.ad_vectors(ads, day),
        barred=barred_of(ads, rules),
    )
    return retrieval, removed.reset_index(drop=True)


def _by_popularity(
    con: duckdb.DuckDBPyConnection, ads: pd.DataFrame, day: date, settings: CandidateSettings
) -> pd.DataFrame:
    """Recently popular first; then popular at any time; then by id, so that the order is total."""
    what = "conversions" if settings.tower.objective == "conversions" else "clicks"
    since = day - timedelta(days=settings.popular_days - 1)
    counts = con.execute(_POPULARITY[what], {"since": since}).df().set_index("ad_id")
    known = ads.join(counts, on="ad_id").fillna({"lately": 0, "ever": 0})
    known = known.sort_values(["lately", "ever", "ad_id"], ascending=[False, False, True], ignore_index=True)
    return known.assign(popularity=known["lately"].astype(np.float64)).drop(columns=["lately", "ever"])
