"""The fold of one snapshot day over a whole log: fit on all that is known by then, judge on the window after it.

    fold = snapshot_fold(lake, date(2014, 4, 23), window_days=91, min_users=20, min_conversions=3)

The protocol of the public purchase log amazon14, for any log: the catalogue takes advertisers with `min_users`; users
with `min_conversions` conversions with these train and are judged; a judged user's target is the first of these in the
window. It does not know the Timeline of the pipeline, which also leaves room for a ranker and a calibration.
"""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd

from ml.contexts.build import build_contexts
from ml.contexts.examples import all_targets
from ml.contexts.labels import new_to_user
from ml.contexts.settings import ContextSettings
from ml.contexts.stream import TrainingExamples
from ml.lake import Lake
from ml.predictors.catalogue import build_catalogue
from ml.predictors.fold import Fold
from ml.timeline import end_of


def snapshot_fold(lake: Lake, day: date, *, window_days: int, min_users: int, min_conversions: int) -> Fold:
    """The fold of a day.

    Args:
        lake: validated logs.
        day: snapshot day, the last one known.
        window_days: days of the label window after it.
        min_users: users an advertiser needs to be in the catalogue.
        min_conversions: known conversions with advertisers of the catalogue that a user needs.
    """
    everyone = snapshot_examples(lake, day, min_users)
    return judged(everyone, first_conversions(lake, day, window_days, everyone.catalogue), min_conversions)


def snapshot_examples(lake: Lake, day: date, min_users: int) -> TrainingExamples:
    """Streams of all consenting users and the catalogue at the end of a day."""
    contexts = build_contexts(lake, day, ContextSettings.model_validate({}), only_active=False)
    with lake.connect(as_of=day) as con:
        catalogue = build_catalogue(con, day, min_users=min_users)
    targets = all_targets(contexts)
    targets = targets[targets["advertiser_id"].isin(catalogue["advertiser_id"])].reset_index(drop=True)
    return TrainingExamples(contexts, targets, catalogue)


def first_conversions(lake: Lake, day: date, window_days: int, catalogue: pd.DataFrame) -> pd.DataFrame:
    """First conversion of each user with an advertiser of the catalogue in the window after `day`, by user id."""
    with lake.connect() as con:
        con.register("catalogue", catalogue)
        return con.execute(
            """
            SELECT user_id, advertiser_id FROM conversions SEMI JOIN catalogue USING (advertiser_id)
            WHERE event_time >= $opens AND event_time < $closes
            QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY event_time, conversion_id) = 1
            ORDER BY user_id
            """,
            {"opens": end_of(day), "closes": end_of(day + timedelta(days=window_days))},
        ).df()


def judged(everyone: TrainingExamples, labels: pd.DataFrame, min_conversions: int) -> Fold:
    """The users with enough conversions, and those of them who have a label as the judged ones."""
    counts = np.bincount(everyone.targets["user"], minlength=len(everyone.contexts))
    able = pd.Index(everyone.contexts.user_ids[counts >= min_conversions])
    examples = everyone.take(np.flatnonzero(counts >= min_conversions))
    labels = labels[labels["user_id"].isin(able)].reset_index(drop=True)
    contexts = examples.contexts.take(able.get_indexer(pd.Index(labels["user_id"])))
    return Fold(examples, contexts, labels, new_to_user(contexts, labels))
