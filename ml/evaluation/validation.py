"""The validation fold of a training: fitted up to the predictor cutoff, judged on the label window after it.

Sources are tuned and blends stacked on it. Its labels lie after the predictors' training labels and are known by the
training's own day, so it touches neither the training nor any test window. Reads past the predictor cutoff: nothing
that predicts may import it.
"""

from __future__ import annotations

from ml.contexts.labels import new_to_user, validation_labels
from ml.contexts.stream import TrainingExamples
from ml.lake import Lake
from ml.predictors.fold import Fold
from ml.timeline import Timeline


def validation_fold(lake: Lake, timeline: Timeline, examples: TrainingExamples) -> Fold:
    """The fold of the training on `timeline.as_of`.

    Args:
        lake: validated logs.
        timeline: of the training.
        examples: all training users at its predictor cutoff.
    """
    labels = validation_labels(lake, timeline)
    users = examples.contexts.users["user_id"]
    rows = users.index[users.isin(labels["user_id"])].to_numpy()
    contexts = examples.contexts.take(rows)
    mine = labels.set_index("user_id").loc[contexts.user_ids, ["advertiser_id"]].reset_index()
    return Fold(examples, contexts, mine, new_to_user(contexts, mine))
