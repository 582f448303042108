"""The MLflow experiments: one a kind of model, whatever the source, profile and day (those are tags of the runs)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

GUIDE = "Every run has every setting that can change it as `section.field`, and its name says which were changed."

TRAINING = {"mlflow.experimentKind": "custom_model_development"}
"""Opens the experiment in the UI as training of models, not as development of a chat."""


@dataclass(frozen=True)
class Experiment:
    """Where the runs of one asset go."""

    name: str
    about: str


EXPERIMENTS = {
    "advertiser_llm": Experiment(
        "advertiser-llm",
        "Fine-tunings of the advertiser LLM: loss over training tokens, and held-out users beside popularity.",
    ),
    "retrieval_model": Experiment(
        "retrieval-model",
        "The conventional generator's two towers: a user's stream and an ad's features.",
    ),
    "ranker": Experiment(
        "ranker", "XGBoost rankers, one an arm on the same rows: without priors, with the LLM's, with the placebo's."
    ),
    "evaluation": Experiment(
        "evaluation",
        "The day's test of everything: sources, retrieval and ranker arms, with the report (`report.html` among the "
        "artifacts). Start a comparison here; each run links to those of the models it judged.",
    ),
}
"""By asset."""


def experiment_id(client: Any, asset: str, artifact_root: str) -> str:
    """Id of the asset's experiment, made with its description if it is new."""
    experiment = EXPERIMENTS[asset]
    found = client.get_experiment_by_name(experiment.name)
    if found:
        return str(found.experiment_id)
    Path(artifact_root).mkdir(parents=True, exist_ok=True)
    tags = {"mlflow.note.content": f"{experiment.about}\n\n{GUIDE}", "adprior.asset": asset, **TRAINING}
    return str(client.create_experiment(experiment.name, artifact_root, tags=tags))
