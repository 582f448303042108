"""Training examples: streams at the predictor cutoff, with one target per conversion in them.

A target is read at the position before its UTC day began, so neither the conversion nor anything of its
day is visible to whoever predicts it. It does not know which predictor learns from them.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.contexts.build import build_contexts
from ml.contexts.settings import ContextSettings
from ml.contexts.stream import TrainingExamples, UserContexts
from ml.lake import Lake
from ml.predictors.catalogue import build_catalogue
from ml.timeline import Timeline


def build_training_examples(
    lake: Lake, timeline: Timeline, settings: ContextSettings, *, min_users: int
) -> TrainingExamples:
    """What every predictor learns from: all consenting users with any event, as of the predictor cutoff.

    Args:
        lake: validated logs.
        timeline: its `predictor_cutoff` is the day of the contexts; nothing known later is read.
        settings: how much text is kept (`active_days` does not matter here).
        min_users: users an advertiser needs to be in the catalogue.

    Returns:
        The examples; conversions with advertisers outside the catalogue are no targets (`targets_dropped`).

    Raises:
        TimelineViolation: a target breaks a rule of the Timeline.
    """
    cutoff = timeline.predictor_cutoff
    contexts = build_contexts(lake, cutoff, settings, only_active=False)
    with lake.connect(as_of=cutoff) as con:
        catalogue = build_catalogue(con, cutoff, min_users=min_users)
    targets = all_targets(contexts)
    targets = targets[targets["advertiser_id"].isin(catalogue["advertiser_id"])].reset_index(drop=True)
    timeline.check_training_targets(targets)
    return TrainingExamples(contexts, targets, catalogue)


def targets_dropped(examples: TrainingExamples) -> int:
    """Conversions of the streams that are no target, their advertiser being outside the catalogue."""
    return int((examples.contexts.events["kind"] == "conversion").sum()) - len(examples.targets)


def all_targets(contexts: UserContexts) -> pd.DataFrame:
    """Every conversion of the streams as a target, in stream order; columns as in TrainingExamples."""
    events = contexts.events
    found = events[events["kind"] == "conversion"]
    user = found["user"].to_numpy()
    position = known_before_day(contexts, user, found["event_time"]) - contexts.offsets[user]
    last_read = np.where(position > 0, contexts.offsets[user] + position - 1, -1)
    return pd.DataFrame(
        {
            "user": user,
            "position": position,
            "advertiser_id": found["advertiser_id"].to_numpy(),
            "event_time": found["event_time"].to_numpy(),
            "known_at": found["time"].to_numpy(),
            "visible_until": events["time"].reindex(last_read).to_numpy(),
            "interest": found["category"].to_numpy(),
        }
    ).astype({"advertiser_id": "str", "interest": "str"})


def known_before_day(contexts: UserContexts, user: np.ndarray, moment: pd.Series) -> np.ndarray:
    """Row of the user's first event that was not known before the UTC day of `moment` began; shape (n,).

    Args:
        contexts: the streams.
        user: shape (n,), rows of users.
        moment: n times.
    """
    known = contexts.events["time"].to_numpy().astype("datetime64[D]").astype(np.int64)
    day = moment.to_numpy().astype("datetime64[D]").astype(np.int64)
    if not len(day):
        return np.empty(0, dtype=np.int64)
    first = min(known.min(), day.min())
    span = max(known.max(), day.max()) - first + 1
    # one sorted key for all streams, (user, day), makes it a single binary search
    keys = contexts.events["user"].to_numpy() * span + (known - first)
    rows: np.ndarray = np.searchsorted(keys, user * span + (day - first), side="left")
    return rows
