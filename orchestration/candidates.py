"""What the candidate stages take from others: the towers, the day's index, the quota in use, the validation's users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestration.stage import Stage

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from ml.candidates.ad_retrieval import AdRetrieval
    from ml.candidates.arms import Proposals
    from ml.contexts.stream import UserContexts


def index_for(stage: Stage, contexts: UserContexts) -> tuple[AdRetrieval, pd.DataFrame]:
    """Retrieval of the day of `contexts` by the towers that the stage's day uses, and the ads it leaves out."""
    from ml.candidates.index import index_of_day
    from ml.candidates.two_tower import TwoTower

    towers = TwoTower.load(stage.input("retrieval_model") / "towers")
    return index_of_day(towers, stage.workspace.lake, contexts, stage.settings.candidates)


def quota_in_use(stage: Stage) -> dict[str, Any]:
    """What `candidate_quota` wrote, see `ml.evaluation.quota.choose_quotas`."""
    from ml.artifacts import read_json

    found: dict[str, Any] = read_json(stage.input("candidate_quota") / "quota.json")
    return found


def validation_proposals(stage: Stage) -> tuple[Proposals, pd.DataFrame, np.ndarray]:
    """Proposals, labels and newness of the validation users that the LLM predicted for at the predictor cutoff."""
    import numpy as np
    import pandas as pd

    from ml.candidates.arms import Proposals
    from ml.contexts.labels import new_to_user, validation_labels
    from ml.contexts.store import read_examples
    from ml.llm.interests import read_interests
    from ml.predictors.predictions import read_predictions

    timeline = stage.timeline_of("training_examples")
    past = read_predictions(stage.input("past_predictions"))
    past = past[(past["source"] == "llm") & (pd.to_datetime(past["day"]).dt.date == timeline.predictor_cutoff)]
    interests = read_interests(stage.input("past_predictions"))
    interests = interests[pd.to_datetime(interests["day"]).dt.date == timeline.predictor_cutoff]
    contexts = read_examples(stage.input("training_examples") / "examples").contexts
    labels = validation_labels(stage.workspace.lake, timeline)
    known = set(past["user_id"]) & set(contexts.user_ids)
    labels = labels[labels["user_id"].isin(known)].reset_index(drop=True)
    contexts = contexts.take(np.flatnonzero(np.isin(contexts.user_ids, labels["user_id"].to_numpy(dtype=object))))
    retrieval, _ = index_for(stage, contexts)
    users, settings = labels["user_id"].to_numpy(dtype=object), stage.settings.candidates
    return Proposals.of(retrieval, past, users, settings, interests), labels, new_to_user(contexts, labels)
