"""Ranker rows: (user, ad, day) with a label, in the Timeline's train, calibration and test windows.

With impressions, a row is an impression of a consenting user, and its label says whether a conversion of that
impression was known by the end of day + outcome_days: the same rule in every split, so that a calibrated
probability means the same in all three. Without impressions, see `ml.ranking.negatives`.

It does not know features or priors, only which snapshot's priors a row may use.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pandas as pd

from ml.errors import BadInput
from ml.lake import Lake
from ml.ranking.negatives import sampled_rows, whole_users
from ml.timeline import Timeline, Window

COLUMNS = [
    "row_id",
    "user_id",
    "ad_id",
    "advertiser_id",
    "day",
    "split",
    "label",
    "label_closes",
    "prior_day",
    "surface",
]

SHOWN = """
WITH converted AS (
    SELECT impression_id, min(coalesce(known_at, event_time)) AS known
    FROM conversions WHERE impression_id IS NOT NULL GROUP BY ALL
)
SELECT i.impression_id AS row_id, i.user_id, i.ad_id, ads.advertiser_id, i.event_time::DATE AS day, i.surface,
       coalesce(c.known < (i.event_time::DATE + $outcome + 1)::TIMESTAMP, false)::INTEGER AS label
FROM impressions i JOIN ads USING (ad_id) LEFT JOIN converted c USING (impression_id)
SEMI JOIN allowed ON allowed.user_id = i.user_id
WHERE i.event_time >= $first AND i.event_time < $last + 1
ORDER BY day, row_id
"""
"""Impressions with their labels; needs a view `allowed` of user_ids and $first, $last, $outcome."""


def ranker_rows(
    lake: Lake,
    timeline: Timeline,
    *,
    negatives: int,
    rng: np.random.Generator,
    users: np.ndarray | None = None,
    max_rows: int | None = None,
    splits: Sequence[str] = ("train", "calibration", "test"),
) -> pd.DataFrame:
    """Labelled rows of the splits asked for, each ordered by day, then row_id.

    Train and calibration rows come from what was known by as_of; test rows from what was known by
    `timeline.test_closes`. The first two have passed `Timeline.check_ranker_rows`.

    Args:
        negatives: draws per positive, where there are no impressions.
        users: if given, only these users (priors exist only for users that were scored).
        max_rows: about the most rows of a split; whole users are left out at random beyond it.
        splits: which to make; whoever trains leaves "test" out, and then nothing after as_of is read.

    Returns:
        COLUMNS. day, label_closes and prior_day are dates; label is 0 or 1; surface is null without impressions.

    Raises:
        BadInput: the train or calibration window holds no row.
    """
    past = lake.connect(as_of=timeline.as_of)
    shown = bool(past.execute("SELECT EXISTS (SELECT 1 FROM impressions)").fetchall()[0][0])
    # Consent by as_of counts in the test split too: only those users have been scored.
    allowed = past.execute("SELECT user_id FROM users WHERE consent ORDER BY user_id").df()
    allowed = allowed if users is None else allowed[allowed["user_id"].isin(users)]
    outcome_days = timeline.settings.outcome_days
    parts = []
    windows = {"train": timeline.ranker, "calibration": timeline.calibration, "test": timeline.test}
    for split, window in ((split, windows[split]) for split in splits):
        con = lake.connect(as_of=timeline.test_closes) if split == "test" else past
        con.register("allowed", allowed)
        if shown:
            limits = {"first": window.first, "last": window.last, "outcome": outcome_days}
            rows = whole_users(con.execute(SHOWN, limits).df(), max_rows, rng)
        else:
            rows = sampled_rows(
                con, lake, window, outcome_days=outcome_days, negatives=negatives, max_rows=max_rows, rng=rng
            )
        if rows.empty and split != "test":
            raise _no_rows(split, window, shown)
        parts.append(rows.assign(split=split))
    rows = _dated(pd.concat([part for part in parts if len(part)], ignore_index=True), timeline)
    timeline.check_ranker_rows(rows[rows["split"] != "test"], model_known_until=timeline.predictor_cutoff)
    return rows


def _dated(rows: pd.DataFrame, timeline: Timeline) -> pd.DataFrame:
    """With label_closes and prior_day; dates as `date`, which the Timeline compares with."""
    days = {stamp: pd.Timestamp(stamp).date() for stamp in rows["day"].unique()}
    outcome = timedelta(days=timeline.settings.outcome_days)
    closes = {stamp: day + outcome for stamp, day in days.items()}
    priors = {stamp: timeline.snapshot_before(day) for stamp, day in days.items()}
    stamps = rows["day"]
    rows = rows.assign(
        day=stamps.map(days).astype(object),
        label_closes=stamps.map(closes).astype(object),
        prior_day=stamps.map(priors).astype(object),
    )
    return rows[COLUMNS]


def _no_rows(split: str, window: Window, shown: bool) -> BadInput:
    wanted = "impression" if shown else "conversion with an ad"
    return BadInput(
        f"no {wanted} of a consenting user for the ranker's {split} split",
        where=f"days {window}",
        remedy="choose an as_of with more history before it, or shorter timeline.ranker_days / calibration_days",
    )
