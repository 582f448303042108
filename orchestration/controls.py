"""What the control predictions take from the training: tuned settings, and what blends are chosen by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml.predictors.registry import BaselineSettings
from orchestration.stage import Stage

if TYPE_CHECKING:
    from ml.contexts.stream import TrainingExamples
    from ml.predictors.controls import Blending


def tuned_settings(stage: Stage) -> BaselineSettings:
    """Settings of the sources, as `tuned_sources` found them."""
    from ml.artifacts import read_json

    return BaselineSettings.model_validate(read_json(stage.input("tuned_sources") / "settings.json"))


def blending_of(stage: Stage, examples: TrainingExamples) -> Blending:
    """The validation fold of the training, and the LLM's predictions at its predictor cutoff."""
    import pandas as pd

    from ml.evaluation.validation import validation_fold
    from ml.predictors.controls import Blending
    from ml.predictors.predictions import read_predictions

    timeline = stage.timeline_of("training_examples")
    past = read_predictions(stage.input("past_predictions"))
    cutoff = pd.to_datetime(past["day"]).dt.date == timeline.predictor_cutoff
    fold = validation_fold(stage.workspace.lake, timeline, examples)
    return Blending(fold, past[cutoff & (past["source"] == "llm")], stage.settings.blends)
