"""Ranker rows: (user, ad, day) with a label, in the Timeline's train, calibration and test windows.

With impressions, a row is an impression of a consenting user. Its labels say whether it was clicked, and whether it
led to a conversion through the click or the view (`ml.ranking.targets`), as known by the end of
day + outcome_days: the same rule in every split, so that a calibrated probability means the same in all three. Without
impressions, see `ml.ranking.negatives`.

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
from ml.ranking.targets import LABELS, AttributionSettings
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
    *LABELS,
]

SHOWN = """
WITH shown AS (
    SELECT impression_id, user_id, ad_id, event_time, event_time::DATE AS day, surface,
           (event_time::DATE + $outcome + 1)::TIMESTAMP AS closes
    FROM impressions i SEMI JOIN allowed ON allowed.user_id = i.user_id
    WHERE event_time >= $first AND event_time < $last + 1
), clicked AS (
    SELECT DISTINCT s.impression_id FROM shown s JOIN clicks c USING (impression_id)
    WHERE c.event_time < s.closes AND c.event_time <= s.event_time + to_days($click)
), converted AS (
    SELECT s.impression_id,
           bool_or(attribution = 'click' AND c.event_time <= s.event_time + to_days($click_through)) AS by_click,
           bool_or(attribution <> 'click' AND c.event_time <= s.event_time + to_days($view_through)) AS by_view
    FROM shown s JOIN conversions c USING (impression_id)
    WHERE coalesce(c.known_at, c.event_time) < s.closes GROUP BY ALL
)
SELECT s.impression_id AS row_id, s.user_id, s.ad_id, ads.advertiser_id, s.day, s.surface,
       coalesce(c.by_click OR c.by_view, false)::INTEGER AS label,
       (k.impression_id IS NOT NULL)::INTEGER AS clicked,
       coalesce(c.by_click AND k.impression_id IS NOT NULL, false)::INTEGER AS click_converted,
       coalesce(c.by_view AND NOT c.by_click, false)::INTEGER AS view_converted
FROM shown s JOIN ads USING (ad_id)
LEFT JOIN clicked k USING (impression_id) LEFT JOIN converted c USING (impression_id)
ORDER BY day, row_id
"""
"""Impressions and labels; needs a view `allowed` of user_ids, $first, $last, $outcome and the attribution windows."""


def ranker_rows(
    lake: Lake,
    timeline: Timeline,
    *,
    negatives: int,
    rng: np.random.Generator,
    attribution: AttributionSettings | None = None,
    users: np.ndarray | None = None,
    max_rows: int | None = None,
    splits: Sequence[str] = ("train", "calibration", "test"),
) -> pd.DataFrame:
    """Labelled rows of the splits asked for, each ordered by day, then row_id.

    Train and calibration rows come from what was known by as_of; test rows from what was known by
    `timeline.test_closes`. The first two have passed `Timeline.check_ranker_rows`.

    Args:
        negatives: draws per positive, where there are no impressions.
        attribution: the windows, if not the usual ones.
        users: if given, only these users (priors exist only for users that were scored).
        max_rows: about the most rows of a split; whole users are left out at random beyond it.
        splits: which to make; whoever trains leaves "test" out, and then nothing after as_of is read.

    Returns:
        COLUMNS. day, label_closes and prior_day are dates; labels are 0 or 1; surface is null without impressions.

    Raises:
        BadInput: the train or calibration window holds no row.
    """
    past = lake.connect(as_of=timeline.as_of)
    shown = bool(past.execute("SELECT EXISTS (SELECT 1 FROM impressions)").fetchall()[0][0])
    # Consent by as_of counts in the test split too: only those users have been scored.
    allowed = past.execute("SELECT user_id FROM users WHERE consent ORDER BY user_id").df()
    allowed = allowed if users is None else allowed[allowed["user_id"].isin(users)]
    outcome_days, windows_of = timeline.settings.outcome_days, attribution or AttributionSettings()
    parts = []
    windows = {"train": timeline.ranker, "calibration": timeline.calibration, "test": timeline.test}
    for split, window in ((split, windows[split]) for split in splits):
        con = lake.connect(as_of=timeline.test_closes) if split == "test" else past
        con.register("allowed", allowed)
        if shown:
            limits = {"first": window.first, "last": window.last, "outcome": outcome_days} | windows_of.windows
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
