"""Schedules: each day's logs after midnight UTC, a report once outcomes are known, new models every week.

All are off until somebody switches them on in the Dagster UI (Automation). Each tick only says which runs to
launch, or why none; times are settings (`schedules`).
"""

from collections.abc import Iterator
from datetime import date, timedelta

import dagster as dg

from ml.artifacts import read_manifest
from ml.timeline import Timeline, Window
from orchestration import plan
from orchestration.graph import NODES
from orchestration.jobs import BY_END_OF_DAY, MODELS, daily_job, evaluate_job, retrain_job, retrain_request
from orchestration.settings import load_settings
from orchestration.stage import REDO_TAG
from orchestration.workspace import Workspace

WHEN = load_settings().schedules
Requests = Iterator[dg.RunRequest | dg.SkipReason]


@dg.schedule(
    job=daily_job,
    name="daily",
    cron_schedule=WHEN.cron(WHEN.daily_at),
    execution_timezone="UTC",
    description="Materializes yesterday, and earlier days that were delivered late: logs, checks, contexts, "
    "predictions (changed users only), candidates, drift.",
)
def daily_schedule(context: dg.ScheduleEvaluationContext) -> Requests:
    """A run for yesterday, after one for each recent day that is not in the lake."""
    space, tick = Workspace(), context.scheduled_execution_time
    yesterday = tick.date() - timedelta(days=1)
    have = plan.ingested(space)
    if not have:
        yield dg.SkipReason(f"{space.root} holds no logs yet: `make run` or `adprior backfill` lays the ground")
        return
    if reason := _over(space, yesterday):
        yield dg.SkipReason(reason)
        return
    first = max(date.fromisoformat(min(have)), yesterday - timedelta(days=WHEN.catch_up_days))
    for day in Window(first, yesterday).days:
        if day == yesterday or day.isoformat() not in have:
            yield _run_of(space, context.instance, day, f"{day} {tick:%Y-%m-%d %H:%M}")


@dg.schedule(
    job=evaluate_job,
    name="evaluate",
    cron_schedule=WHEN.cron(WHEN.evaluate_at),
    execution_timezone="UTC",
    description="Evaluates and reports on the newest day whose outcomes are all known.",
)
def evaluate_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """One run, unless that day was not predicted or has its report."""
    space = Workspace()
    have = plan.ingested(space)
    if not have:
        return dg.SkipReason(f"{space.root} holds no logs yet")
    newest = Timeline.newest_closed(date.fromisoformat(max(have)), space.settings.timeline).as_of
    if plan.published(space, "candidate_sets", newest) is None:
        return dg.SkipReason(f"{newest}, the newest day whose outcomes are known, was not predicted: backfill it")
    if plan.published(space, "report", newest):
        return dg.SkipReason(f"{newest}, the newest day whose outcomes are known, has its report")
    return dg.RunRequest(run_key=f"{newest} {context.scheduled_execution_time:%Y-%m-%d}", partition_key=str(newest))


@dg.schedule(
    job=retrain_job,
    name="weekly_retraining",
    cron_schedule=WHEN.cron(WHEN.retrain_at, WHEN.retrain_on),
    execution_timezone="UTC",
    description="Trains new versions of all models on the labels known by the newest day in the lake.",
)
def weekly_retraining(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """One run, unless the lake has no day newer than the models."""
    space = Workspace()
    have = plan.ingested(space)
    if not have:
        return dg.SkipReason(f"{space.root} holds no logs yet")
    day = date.fromisoformat(max(have))
    if all(read_manifest(space.target("models", name, plan.new_version(space, name, day))) for name in MODELS):
        return dg.SkipReason(f"the models are of {day}, and there are no newer logs")
    return retrain_request(str(day), "weekly", run_key=f"weekly {context.scheduled_execution_time:%Y-%m-%d}")


schedules = [daily_schedule, evaluate_schedule, weekly_retraining]


def _over(space: Workspace, yesterday: date) -> str | None:
    """Why there is nothing to wait for; only of the simulated world it is known that no more days will come."""
    if space.settings.source != "world" or yesterday <= space.settings.world.window.last:
        return None
    return (
        f"the simulated world ended on {space.settings.world.window.last}, before {yesterday}: "
        "`adprior backfill` walks through its days; a schedule suits your own logs (SOURCE=parquet)"
    )


def _run_of(space: Workspace, instance: dg.DagsterInstance, day: date, run_key: str) -> dg.RunRequest:
    """The day's assets, and those models of which there is no version that the day can use.

    A version that a blocking check has refused is none: its model, and those built on it, are trained on this day.
    """
    from orchestration.definitions import defs
    from orchestration.runner import check_failed

    refused = [name for name in MODELS if check_failed(instance, defs, name, day)]
    to_train: set[str] = set()
    for name in MODELS:  # each behind those it is built on
        if name in refused or to_train & {*NODES[name].upstream} or not plan.published(space, name, day):
            to_train.add(name)
    chosen = [dg.AssetKey(name) for name in BY_END_OF_DAY if name not in MODELS or name in to_train]
    tags = {REDO_TAG: ",".join(refused)} if refused else {}
    return dg.RunRequest(run_key=run_key, partition_key=day.isoformat(), asset_selection=chosen, tags=tags)
