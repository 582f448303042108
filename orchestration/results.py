"""Gathers what the report shows beside the evaluation: stages, checks, training, machine, notes."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from orchestration import ingested, plan
from orchestration.graph import NODES, RAW_TABLES
from orchestration.provenance import git_commit, machine
from orchestration.stage import Stage


def gather(stage: Stage) -> dict[str, Any]:
    """`results` as ml.report.schema wants them."""
    settings, timeline = stage.settings, stage.timeline
    measured = json.loads((stage.input("evaluation") / "results.json").read_text())
    stages = _stages(stage)
    trained = stage.timeline_of("past_predictions")
    measured["counts"] |= {"train_users": _manifest(stage, "training_examples")["metrics"]["users"]}
    return {
        "profile": settings.profile,
        "source": settings.source,
        "as_of": stage.day.isoformat(),
        "seed": settings.seed,
        "git_commit": git_commit(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "timeline": {
            "predictor_cutoff": _manifest(stage, "advertiser_llm")["known_until"],
            "ranker": str(trained.ranker),
            "calibration": str(trained.calibration),
            "test": str(timeline.test),
            "test_closes": timeline.test_closes.isoformat(),
            "label_window_days": settings.timeline.label_window_days,
        },
        "stages": stages,
        "llm": {**_manifest(stage, "advertiser_llm")["llm"], **_scored(stage)},
        "notes": notes(stage),
        "checks": _checks(stage),
        "seconds_total": round(_seconds_total(stage), 1),
        "peak_rss_mb": max(manifest["peak_rss_mb"] for manifest in _published(stage).values()),
        **measured,
    }


def _manifest(stage: Stage, asset: str) -> dict[str, Any]:
    return stage.workspace.manifest(plan.target(stage.workspace, asset, stage.day))


def _stages(stage: Stage) -> dict[str, dict[str, Any]]:
    """Rows and seconds of every stage: of the run that made it, which may be an earlier day's for a model."""
    record = ingested.read(stage.workspace)
    rows = sum(day["rows"] for table in record["tables"].values() for day in table.values())
    found = {"raw_logs": {"rows": rows, "seconds": record["seconds"]}}
    published = _published(stage)
    return found | {name: {"rows": m["rows"], "seconds": m["seconds"]} for name, m in published.items()}


def _published(stage: Stage) -> dict[str, dict[str, Any]]:
    """Manifests of every stage behind the raw tables that the report builds on."""
    below, todo = set[str](), ["evaluation"]
    while todo:
        name = todo.pop()
        below.add(name)
        todo += [up for up in NODES[name].upstream if up in NODES]
    return {name: _manifest(stage, name) for name in NODES if name in below}


def _seconds_total(stage: Stage) -> float:
    """Wall seconds of the Dagster runs that made this report, checks included; of a killed one its finished stages."""
    record = ingested.read(stage.workspace)
    seconds = {record["dagster_run_id"]: record["seconds"]}
    for manifest in _published(stage).values():
        seconds[manifest["dagster_run_id"]] = seconds.get(manifest["dagster_run_id"], 0.0) + manifest["seconds"]
    for run_id in seconds:
        found = stage.context.instance.get_run_record_by_id(run_id)
        if run_id == stage.context.run.run_id and found and found.start_time:
            seconds[run_id] = time.time() - found.start_time
        elif found and found.end_time and found.start_time and found.dagster_run.is_success:
            seconds[run_id] = found.end_time - found.start_time
    return sum(seconds.values())


def _scored(stage: Stage) -> dict[str, int]:
    scored = _manifest(stage, "advertiser_predictions")
    return {"scored_users": scored["users"], "scored_tokens": scored["tokens"]}


def _checks(stage: Stage) -> list[dict[str, Any]]:
    """Newest evaluation of every check, as Dagster knows it."""
    from orchestration.definitions import defs

    storage, graph = stage.context.instance.event_log_storage, defs.resolve_asset_graph()
    assets = [dg.AssetKey(name) for name in (*RAW_TABLES, *NODES)]
    keys = sorted(graph.get_check_keys_for_assets(set(assets)), key=str)
    records = storage.get_latest_asset_check_execution_by_key(keys)
    found = []
    for key in keys:
        record = records.get(key)
        if record is not None and record.status != AssetCheckExecutionRecordStatus.PLANNED:
            evaluation = record.evaluation
            found.append(
                {
                    "asset": key.asset_key.to_user_string(),
                    "check": key.name,
                    "passed": evaluation.passed,
                    "severity": evaluation.severity.value,
                    "description": evaluation.description or "",
                }
            )
    return found


def notes(stage: Stage) -> list[str]:
    """What a reader must know to read the figures rightly."""
    settings, counts = stage.settings, _manifest(stage, "advertiser_llm")["llm"]
    found = [
        "All sources are fitted on the same streams and labels, those known by the predictor cutoff; "
        "the cheap sources use all training users, the LLM "
        f"the {counts['train_users']:,} users that its token budget of {counts['token_budget']:,} allows.",
    ]
    if not _has_impressions(stage):
        found.append(
            "These logs have conversions but no impressions: the ranker trains and is tested on sampled negatives, "
            f"{settings.ranker.negatives} a conversion, so its probabilities are relative to that sample; "
            "log loss, normalized entropy and ECE mean nothing here and read n/a."
        )
    if settings.predictions.min_conversions or settings.catalogue.min_users:
        found.append(
            f"Users need {settings.predictions.min_conversions} known conversions to be scored; targets outside the "
            f"catalogue (advertisers with {settings.catalogue.min_users} users or more) count as misses."
        )
    if settings.predictions.max_users:
        eligible = _manifest(stage, "advertiser_predictions")["metrics"]["eligible_users"]
        found.append(
            f"At most {settings.predictions.max_users:,} of {eligible:,} eligible users are scored, a seeded sample; "
            "set predictions.max_users to null to score all."
        )
    return found


def _has_impressions(stage: Stage) -> bool:
    """Decided as `ml.ranking.impressions` does: by what is known by the snapshot day."""
    with stage.workspace.lake.connect(as_of=stage.day) as con:
        return bool(con.execute("SELECT EXISTS (SELECT 1 FROM impressions)").fetchall()[0][0])
