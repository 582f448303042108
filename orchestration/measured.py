"""What earlier runs of a workspace measured: seconds and work of their stages, from the manifests they published.

    adprior run --profile small --out OUT && ADPRIOR_OUT=OUT python -m orchestration.measured

prints an entry for ml/sources/inspection/rates.yaml.
"""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import yaml

from ml.artifacts import read_manifest
from ml.errors import BadInput
from ml.sources.inspection.estimate import MeasuredRun
from orchestration.graph import NODES
from orchestration.workspace import Workspace


def measured_runs(workspace: Workspace) -> list[MeasuredRun]:
    """The newest result of every stage as one run; nothing if no LLM was trained in this workspace yet."""
    stages = {name: newest for name in NODES if (newest := _newest(workspace, name))}
    if not {"advertiser_llm", "user_contexts"} <= set(stages):
        return []
    contexts, llm = stages["user_contexts"]["metrics"], stages["advertiser_llm"]
    units = {name: float(found) for name in stages if (found := _units(name, stages))}
    return [
        MeasuredRun(
            f"{workspace.root.name} as of {stages['user_contexts']['as_of']}",
            llm["llm"]["base_model"],
            contexts["tokens"] / max(contexts["events"], 1),
            units,
            {name: float(stages[name]["seconds"]) for name in units},
        )
    ]


def _newest(workspace: Workspace, asset: str) -> dict[str, Any] | None:
    """Manifest of the newest published result of an asset."""
    places = workspace.models(asset) if NODES[asset].kind == "model" else workspace.tables(asset)
    found = [manifest for place in places if (manifest := read_manifest(place))]
    return max(found, key=lambda manifest: str(manifest["as_of"]), default=None)


def _units(asset: str, stages: dict[str, dict[str, Any]]) -> float | None:
    """The work of a stage in the unit that `ml.sources.inspection.estimate.UNITS` names for it."""
    manifest, contexts = stages[asset], stages["user_contexts"]["metrics"]
    metrics, scored = manifest["metrics"], stages.get("advertiser_predictions", {"metrics": {}})["metrics"]
    known: dict[str, Any] = {
        "user_contexts": metrics.get("events"),
        "training_examples": manifest["rows"],
        "retrieval_model": contexts["events"],
        "advertiser_llm": metrics.get("train_tokens"),
        "past_predictions": metrics.get("users", 0) * contexts["tokens_per_user"],
        # of an incremental run, only what was read
        "advertiser_predictions": metrics.get("read_tokens", metrics.get("tokens")),
        "control_predictions": scored.get("users"),
        "candidate_sets": metrics.get("users"),
        "ranker": sum(manifest.get("ranker_rows", {}).values()),
        "evaluation": manifest["rows"],
    }
    return known.get(asset)


def reference_entry(workspace: Workspace) -> dict[str, Any]:
    """The newest run as rates.yaml wants it, with the ingest and what lies between the stages."""
    run = measured_runs(workspace)[0]
    report = json.loads((workspace.local("report", _day_of(workspace)) / "report.json").read_text())
    stages = {name: {"units": round(run.units[name]), "seconds": run.seconds[name]} for name in run.units}
    raw = report["stages"]["raw_logs"]
    stages["raw_logs"] = {"units": raw["rows"], "seconds": raw["seconds"]}
    between = report["seconds_total"] - sum(stage["seconds"] for stage in stages.values())
    stages["everything else"] = {"units": 1, "seconds": round(between, 1)}
    machine = report["machine"]
    units = "with" if machine["bf16_matrix_units"] else "without"
    return {
        "origin": f"{run.origin}, {machine['cores']} cores of {machine['cpu']} {units} bf16 matrix units",
        "base_model": run.base_model,
        "tokens_per_event": round(run.tokens_per_event, 2),
        "stages": stages,
    }


def _day_of(workspace: Workspace) -> date:
    newest = _newest(workspace, "report")
    if newest is None:
        raise BadInput("no report here", where=str(workspace.root), remedy="let `adprior run` finish first")
    return date.fromisoformat(newest["as_of"])


if __name__ == "__main__":
    print(yaml.safe_dump([reference_entry(Workspace())], sort_keys=False))
