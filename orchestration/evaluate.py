"""Gathers what the evaluation compares: published predictions, candidates' model and rankers of the day."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from orchestration.stage import Stage


def evaluate_day(stage: Stage) -> dict[str, Any]:
    """The evaluation's sections of report.json for the stage's day."""
    from ml.contexts.store import read_contexts
    from ml.evaluation.study import labelled, study_predictors, study_ranker, study_retrieval
    from ml.llm.interests import read_interests
    from ml.predictors.predictions import read_predictions
    from ml.ranking.converts import ConvertsModel
    from ml.ranking.interests import with_interests
    from ml.ranking.model import MODEL, RankingModel
    from orchestration.candidates import index_for, quota_in_use

    settings, lake, timeline = stage.settings, stage.workspace.lake, stage.timeline
    llm_directory, ranker_directory = stage.input("advertiser_predictions"), stage.input("ranker")
    llm = read_predictions(llm_directory)
    controls = read_predictions(stage.input("control_predictions"))
    predictions = {"llm": llm, **{str(name): table for name, table in controls.groupby("source")}}
    catalogue = pd.read_parquet(llm_directory / "catalogue.parquet")
    contexts = read_contexts(stage.input("user_contexts") / "contexts")
    labels, is_new, left_out = labelled(lake, timeline, contexts, llm["user_id"].unique())
    rng = [np.random.default_rng([settings.seed, 5, part]) for part in range(3)]
    shown = settings.evaluation
    predictors = study_predictors(predictions, contexts, labels, is_new, catalogue, shown, rng[0])
    stage.progress(1, 3, "parts")
    tested = contexts.take(np.flatnonzero(np.isin(contexts.user_ids, labels["user_id"].to_numpy(dtype=object))))
    retrieval, _ = index_for(stage, tested)
    interests, of_retrieval = read_interests(llm_directory), (labels, is_new, settings.candidates, shown, rng[1])
    found = study_retrieval(retrieval, predictions, *of_retrieval, quota=quota_in_use(stage), interests=interests)
    stage.progress(2, 3, "parts")
    models = {path.parent.name: RankingModel.load(path.parent) for path in sorted(ranker_directory.glob(f"*/{MODEL}"))}
    priors = with_interests({name: predictions[name] for name in models if name in predictions}, interests)
    converts = ConvertsModel.load(ranker_directory)
    ranked = study_ranker(lake, timeline, models, priors, converts, settings.ranker, shown, rng[2], stage.progress)
    ranked["ranker_rows"] |= stage.workspace.manifest(ranker_directory)["ranker_rows"]
    predictors["counts"] |= left_out
    return {**predictors, "predictor_costs": _costs(stage), **found, **ranked}


def _costs(stage: Stage) -> dict[str, Any]:
    """CPU seconds of every source; what the LLM takes per user is that of the users it read on the day."""
    llm, controls = (
        stage.workspace.manifest(stage.input(name)) for name in ("advertiser_predictions", "control_predictions")
    )
    return {"llm": llm["cost"], **controls["costs"]}
