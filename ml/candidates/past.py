"""Two-tower scores of past impressions: a feature of the ranker's training rows, as of the snapshot before each.

The towers know nothing after the predictor cutoff, and of a user they read the stream as of the snapshot, so the score
of an impression holds nothing of its own day or later. For a request of today `candidate_sets` has the same number in
column tower_score.

    rows["tower_score"] = tower_scores(towers, lake, timeline, rows, settings.contexts)
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.candidates.ad_tokens import known_ads
from ml.candidates.two_tower import TwoTower
from ml.contexts.build import build_contexts
from ml.contexts.settings import ContextSettings
from ml.errors import BadInput
from ml.lake import Lake
from ml.timeline import Timeline


def tower_scores(
    towers: TwoTower, lake: Lake, timeline: Timeline, rows: pd.DataFrame, settings: ContextSettings
) -> np.ndarray:
    """The dot product of each row's user and ad at the last snapshot before its day.

    Args:
        towers: trained by the first of those snapshots.
        lake: validated logs.
        timeline: says which snapshot serves which day.
        rows: user_id, ad_id, day (a date).
        settings: of the contexts.

    Returns:
        float64, shape (n_rows,); nan for users without a stream and ads unknown at the snapshot.

    Raises:
        BadInput: the towers know more than a snapshot may.
        TimelineViolation: a day lies before every snapshot.
    """
    served = np.array([timeline.snapshot_before(day) for day in rows["day"]], dtype=object)
    found = np.full(len(rows), np.nan)
    for snapshot in sorted(set(served)):
        if towers.known_until > snapshot:
            raise BadInput(
                f"the towers know what happened until {towers.known_until}, the snapshot is {snapshot}",
                where="retrieval model",
                remedy="use the model that was trained with the timeline of these rows",
            )
        mine = np.flatnonzero(served == snapshot)
        asked = rows.iloc[mine]
        contexts = build_contexts(lake, snapshot, settings)
        contexts = contexts.take(np.flatnonzero(np.isin(contexts.user_ids, asked["user_id"].to_numpy(dtype=object))))
        with lake.connect(as_of=snapshot) as con:
            ads = known_ads(con)
        ads = ads[ads["ad_id"].isin(asked["ad_id"])].reset_index(drop=True)
        user = pd.Index(contexts.users["user_id"]).get_indexer(pd.Index(asked["user_id"]))
        ad = pd.Index(ads["ad_id"]).get_indexer(pd.Index(asked["ad_id"]))
        known = np.flatnonzero((user >= 0) & (ad >= 0))
        users, vectors = towers.user_vectors(contexts), towers.ad_vectors(ads, snapshot)
        for part in np.array_split(known, max(1, len(known) // 65_536)):
            found[mine[part]] = np.einsum("ij,ij->i", users[user[part]], vectors[ad[part]])
    return found
