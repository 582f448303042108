"""Two runs that differ in one setting compare cleanly in MLflow: names, settings, metrics, data, report, registry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from ml.report.metric_names import cost_metrics, evaluation_metrics, flat
from tests.pipeline.conftest import DAY, Pipeline

KINDS = {"advertiser-llm": 1, "retrieval-model": 1, "ranker": 2, "evaluation": 2}
"""Experiments, and how many runs each has once the ranker's setting has been changed."""


@pytest.fixture(scope="module")
def client(changed_run: Pipeline) -> MlflowClient:
    return MlflowClient(f"sqlite:///{changed_run.out}/mlflow.db")


@pytest.fixture(scope="module")
def runs(client: MlflowClient) -> dict[str, list[Any]]:
    """Runs by experiment, oldest first."""
    found = {e.name: e for e in client.search_experiments() if e.name != "Default"}
    assert all("section.field" in experiment.tags["mlflow.note.content"] for experiment in found.values())
    oldest = ["attributes.start_time ASC"]
    return {name: list(client.search_runs([e.experiment_id], order_by=oldest)) for name, e in found.items()}


def every(runs: dict[str, list[Any]]) -> Iterator[Any]:
    for kind in runs.values():
        yield from kind


def test_experiments_are_kinds_of_models_and_all_runs_finished(runs: dict[str, list[Any]]):
    assert {name: len(kind) for name, kind in runs.items()} == KINDS
    assert {run.info.status for run in every(runs)} == {"FINISHED"}


def test_names_say_what_differs(runs: dict[str, list[Any]]):
    plain, changed = f"defaults · world-tiny {DAY}", f"ranker.max_depth=3 · world-tiny {DAY}"
    for kind, count in KINDS.items():
        assert [run.info.run_name for run in runs[kind]] == [plain, changed][:count]
    assert [run.data.tags["adprior.changed"] for run in runs["ranker"]] == ["nothing", "ranker.max_depth=3"]


@pytest.mark.parametrize("kind", ["ranker", "evaluation"])
def test_parameters_differ_in_the_setting_alone_and_metrics_have_the_same_names(runs: dict[str, list[Any]], kind: str):
    one, two = (run.data for run in runs[kind])
    differing = {name for name in one.params if one.params[name] != two.params.get(name)}
    assert one.params.keys() == two.params.keys() and len(one.params) > 50
    assert differing == {"ranker.max_depth"}
    assert one.metrics.keys() == two.metrics.keys()


def test_one_measure_has_one_name_in_every_kind_of_run(runs: dict[str, list[Any]]):
    llm, ranker, evaluation = (runs[kind][0].data.metrics for kind in ("advertiser-llm", "ranker", "evaluation"))
    assert {"validation/llm/recall_at_10", "validation/popularity/log_loss", "train/llm/loss"} <= set(llm)
    assert {f"calibration/{arm}/{m}" for arm in ("none", "llm", "placebo") for m in ("auc", "pr_auc")} <= set(ranker)
    for name in ("recall_at_10", "auc", "pr_auc", "log_loss", "normalized_entropy", "ece", "advertiser_recall"):
        assert f"test/llm/{name}" in evaluation


def test_an_evaluation_holds_the_figures_of_the_report(runs: dict[str, list[Any]], changed_run: Pipeline):
    report = changed_run.report()
    figures = evaluation_metrics(report) | cost_metrics(report)
    assert runs["evaluation"][-1].data.metrics == pytest.approx(flat(figures))


def test_the_data_is_logged_with_our_fingerprint(runs: dict[str, list[Any]], changed_run: Pipeline):
    expected = {
        "advertiser-llm": {("training_examples", "training")},
        "retrieval-model": {("raw_logs", "training")},
        "ranker": {(name, "training") for name in ("past_predictions", "past_control_predictions", "raw_logs")},
        "evaluation": {
            (name, "evaluation")
            for name in ("raw_logs", "advertiser_predictions", "control_predictions", "candidate_sets")
        },
    }
    for kind, found in runs.items():
        for run in found:
            inputs = run.inputs.dataset_inputs
            assert {(i.dataset.name, i.tags[0].value) for i in inputs} == expected[kind]
            assert all(json.loads(i.dataset.profile)["num_rows"] > 0 for i in inputs)
    manifest = json.loads((changed_run.table("advertiser_predictions") / "manifest.json").read_text())
    mine = {i.dataset.name: i.dataset for i in runs["evaluation"][-1].inputs.dataset_inputs}["advertiser_predictions"]
    assert mine.digest == manifest["fingerprint"]
    assert json.loads(mine.profile) == {"num_rows": manifest["rows"], "as_of": DAY, "fingerprint": mine.digest}
    tags = {run.data.tags["adprior.source"] + run.data.tags["adprior.profile"] for run in every(runs)}
    assert tags == {"worldtiny"}


def test_the_report_lies_on_the_evaluation(client: MlflowClient, runs: dict[str, list[Any]], changed_run: Pipeline):
    for run in runs["evaluation"]:
        names = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
        assert {"report.html", "report.json", "results.json", "metrics.json", "importance.json"} <= names
        assert "importance.png" in names
    newest = client.download_artifacts(runs["evaluation"][-1].info.run_id, "report.json")
    with Path(newest).open() as file:
        assert json.load(file) == changed_run.report()


def test_an_evaluation_names_the_runs_of_the_models_it_judged(client: MlflowClient, runs: dict[str, list[Any]]):
    kinds = {"advertiser_llm": "advertiser-llm", "retrieval_model": "retrieval-model", "ranker": "ranker"}
    for number, run in enumerate(runs["evaluation"]):
        for asset, kind in kinds.items():
            judged = runs[kind][min(number, len(runs[kind]) - 1)]
            assert run.data.tags[f"adprior.run.{asset}"] == judged.info.run_id
            assert judged.info.run_id in run.data.tags["mlflow.note.content"]
            assert run.data.tags[f"adprior.model.{asset}"] == judged.data.tags["adprior.input_fingerprint"]
    for tag in ("dagster.url", "adprior.machine", "adprior.git_commit", "mlflow.source.git.commit"):
        assert all(run.data.tags.get(tag) for run in every(runs)), tag


def test_registered_versions_say_what_they_are(client: MlflowClient, runs: dict[str, list[Any]]):
    for model in client.search_registered_models():
        assert model.description
    versions = {v.version: v for v in client.search_model_versions("name = 'ranker'")}
    assert len(versions) == 2
    for number, run in enumerate(runs["ranker"]):
        version = versions[number + 1]
        assert run.info.run_name in version.description and run.info.run_id in version.description
        assert version.tags["adprior.as_of"] == DAY and version.tags["adprior.source"] == "world"
        auc = runs["evaluation"][number].data.metrics["test/llm/auc"]
        assert version.tags["test/llm/auc"].startswith(f"{auc:.4f} [")
        page = client.get_logged_model(client.get_run(run.info.run_id).outputs.model_outputs[0].model_id)
        assert auc in [metric.value for metric in page.metrics if metric.key == "test/llm/auc"]
    assert client.get_model_version_by_alias("ranker", "challenger").version == 2
