"""The first conventional generator: confidence-weighted matrix factorisation of users and ads.

Implicit ALS (Hu, Koren, Volinsky 2008, "Collaborative Filtering for Implicit Feedback Datasets", ICDM)
by `implicit`: preference 1 for every pair with an interaction, with confidence

    c_ua = 1 + click_weight * clicks_ua + conversion_weight * conversions_ua

Interactions are clicks and conversions *with an ad* of consenting users known by as_of; visits name no ad
and do not count. It sees no text, no profile and no advertiser. Rows are solved one by one, so the number
of threads does not change a bit of the result.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from ml.candidates.ad_retrieval import AdRetrieval
from ml.candidates.settings import CandidateSettings
from ml.errors import BadInput
from ml.lake import Lake

_INTERACTIONS = """
WITH events AS (
    SELECT user_id, ad_id, $conversion_weight::DOUBLE AS weight, coalesce(known_at, event_time) AS known
    FROM conversions WHERE ad_id IS NOT NULL
    UNION ALL
    SELECT i.user_id, i.ad_id, $click_weight::DOUBLE, c.event_time
    FROM clicks c JOIN impressions i USING (impression_id)
)
SELECT e.user_id, e.ad_id, sum(e.weight) AS weight,
       coalesce(sum(e.weight) FILTER (e.known >= $recent), 0) AS recent
FROM events e JOIN users u USING (user_id) JOIN ads USING (ad_id)
WHERE u.consent AND e.weight > 0
GROUP BY ALL ORDER BY e.user_id, e.ad_id
"""

_ELIGIBLE = """
SELECT ad_id, advertiser_id FROM ads JOIN advertisers USING (advertiser_id)
WHERE active_from <= $day AND (active_to IS NULL OR active_to >= $day) ORDER BY ad_id
"""


def fit(lake: Lake, as_of: date, settings: CandidateSettings, *, seed: int, threads: int = 1) -> AdRetrieval:
    """Learn user and ad vectors from what was known by the end of `as_of`.

    Ads of advertisers that are no longer active still teach the users' vectors, but cannot be retrieved.

    Raises:
        BadInput: no ad is eligible on the day.
    """
    con = lake.connect(as_of=as_of)
    interactions = con.execute(
        _INTERACTIONS,
        {
            "conversion_weight": settings.conversion_weight,
            "click_weight": settings.click_weight,
            "recent": as_of - timedelta(days=settings.popular_days - 1),
        },
    ).df()
    ads = con.execute(_ELIGIBLE, {"day": as_of}).df()
    if ads.empty:
        raise BadInput(
            f"no ad may be shown on {as_of}",
            where=f"tables ads and advertisers in {lake.root}",
            remedy="deliver ads whose advertiser is active (active_from, active_to) on the day",
        )
    user_codes, user_ids = pd.factorize(interactions["user_id"], sort=True)
    ad_codes, ad_ids = pd.factorize(interactions["ad_id"], sort=True)
    user_factors, ad_factors = _factorise(interactions, user_codes, ad_codes, settings, seed, threads)
    ads = _by_popularity(ads, interactions)
    rows = pd.Index(ad_ids).get_indexer(pd.Index(ads["ad_id"]))
    eligible = np.zeros((len(ads), settings.factors), dtype=np.float32)
    eligible[rows >= 0] = ad_factors[rows[rows >= 0]]
    return AdRetrieval(as_of, np.asarray(user_ids, dtype=object), user_factors, ads, eligible)


def _factorise(
    interactions: pd.DataFrame,
    user_codes: np.ndarray,
    ad_codes: np.ndarray,
    settings: CandidateSettings,
    seed: int,
    threads: int,
) -> tuple[np.ndarray, np.ndarray]:
    if interactions.empty:
        nothing = np.zeros((0, settings.factors), dtype=np.float32)
        return nothing, nothing
    from implicit.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix
    from threadpoolctl import threadpool_limits

    confidence = (1 + interactions["weight"].to_numpy()).astype(np.float32)
    matrix = csr_matrix((confidence, (user_codes, ad_codes)))
    model: Any = AlternatingLeastSquares(
        factors=settings.factors,
        regularization=settings.regularization,
        iterations=settings.iterations,
        num_threads=threads,
        random_state=seed,
    )
    with threadpool_limits(1, "blas"):  # many tiny solves: BLAS threads only get in each other's way
        model.fit(matrix, show_progress=False)
    return model.user_factors, model.item_factors


def _by_popularity(ads: pd.DataFrame, interactions: pd.DataFrame) -> pd.DataFrame:
    """Recently popular first; then popular at any time; then by id, so that the order is total."""
    sums = interactions.groupby("ad_id")[["recent", "weight"]].sum()
    known = ads.join(sums, on="ad_id").fillna({"recent": 0.0, "weight": 0.0})
    known = known.sort_values(["recent", "weight", "ad_id"], ascending=[False, False, True], ignore_index=True)
    return known[["ad_id", "advertiser_id", "recent"]].rename(columns={"recent": "popularity"})
