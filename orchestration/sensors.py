"""The drift sensor: tells people of drift and data faults, and asks for a retraining when drift calls for one.

What has happened so far is read from where it happened: reports from their tables, retrainings from Dagster's runs,
alerts from `alerts.jsonl`. The cursor only says which events have been looked at, so that a quiet tick costs
nothing; a lost cursor repeats no alert and no request. A day that a blocking check of the raw tables has stopped gets
no report, so failed checks are read as well. Decisions: `ml.monitoring.policy`.

A `run_key` is used up for ever, even if its run failed. Ours is the day: one request for a day, and if its run
fails, the next drifting day may ask again within the weekly maximum.
"""

from datetime import date

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus as Status

from ml.monitoring.alert import Alert, alerts_of
from ml.monitoring.policy import Decision, Request, decide
from orchestration import ingested
from orchestration.alerts import AlertBook
from orchestration.drift import reports
from orchestration.graph import RAW_TABLES
from orchestration.jobs import retrain_request
from orchestration.resources import WorkspaceResource
from orchestration.settings import load_settings
from orchestration.stage import DAY_TAG
from orchestration.workspace import Workspace

REPORT = dg.AssetKey("drift_report")
BY_DRIFT_TAG = "adprior/drift"
"""On runs that the sensor requested; value: the alerting features."""
RAW_CHECKS = [
    dg.AssetCheckKey(dg.AssetKey(table), name) for table in RAW_TABLES for name in ("schema", "values", "volume")
]
LOOKED_BACK = 50
"""Retrainings that are looked at for cooldown and weekly maximum."""
_ALERTS = load_settings().alerts


@dg.sensor(
    job_name="retrain",
    minimum_interval_seconds=_ALERTS.every_seconds,
    default_status=dg.DefaultSensorStatus.RUNNING if _ALERTS.sensor_on else dg.DefaultSensorStatus.STOPPED,
    description="Reads each new drift report. Alerts on drift and on data faults (log, alerts.jsonl, webhook), and "
    "requests a retraining when drift lasts: with hysteresis, cooldown and a weekly maximum; never on a data fault.",
)
def drift_sensor(context: dg.SensorEvaluationContext, workspace: WorkspaceResource) -> dg.SensorResult | dg.SkipReason:
    """One tick."""
    space = workspace.open()
    book = AlertBook(space.root / "alerts.jsonl")
    seen, said, request = _newest_events(context.instance), "nothing new", None
    if seen != context.cursor:
        for stopped in _stopped_days(context.instance, space):
            if not set(stopped.keys) <= book.told():
                book.raise_alert(stopped, _links(space, stopped))
        if history := reports(space):
            decision = decide(history, retrainings(context.instance), space.settings.drift)
            for alert in alerts_of(decision, book.told()):
                book.raise_alert(alert, _links(space, alert))
            request, said = _request(decision), _summary(decision)
        else:
            said = "no drift report yet: materialize drift_report"
    if sent := book.deliver(space.settings.alerts):
        said += f"; {sent} alerts delivered"
    context.log.info(said)
    requests = [request] if request else []
    skip = None if requests else dg.SkipReason(said)
    return dg.SensorResult(run_requests=requests, skip_reason=skip, cursor=seen)


sensors = [drift_sensor]


def retrainings(instance: dg.DagsterInstance) -> list[Request]:
    """The newest runs of the job `retrain`, by whomever, for a known day."""
    runs = instance.get_runs(filters=dg.RunsFilter(job_name="retrain"), limit=LOOKED_BACK)
    failed = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.CANCELING)
    return [
        Request(date.fromisoformat(run.tags[DAY_TAG]), run.status in failed, BY_DRIFT_TAG in run.tags)
        for run in runs
        if DAY_TAG in run.tags
    ]


def _newest_events(instance: dg.DagsterInstance) -> str:
    """Mark of the newest drift report and the newest results of the raw tables' checks."""
    made = instance.fetch_materializations(REPORT, limit=1).records
    checked = instance.event_log_storage.get_latest_asset_check_execution_by_key(RAW_CHECKS)
    done = [record.id for record in checked.values() if record.status in (Status.SUCCEEDED, Status.FAILED)]
    return f"report {made[0].storage_id if made else 0}, checks {max(done, default=0)}"


def _stopped_days(instance: dg.DagsterInstance, space: Workspace) -> list[Alert]:
    """An alert for each day that blocking checks of the raw tables have stopped, as their newest results say."""
    failed: dict[str, list[dg.AssetCheckKey]] = {}
    checked = instance.event_log_storage.get_latest_asset_check_execution_by_key(RAW_CHECKS)
    for key in RAW_CHECKS:
        record = checked.get(key)
        run = instance.get_run_by_id(record.run_id) if record and record.status == Status.FAILED else None
        day = run and (run.tags.get("dagster/partition") or run.tags.get("dagster/asset_partition_range_end"))
        if day:
            failed.setdefault(day, []).append(key)
    return [_stopped(space, day, keys) for day, keys in sorted(failed.items())]


def _stopped(space: Workspace, day: str, checks: list[dg.AssetCheckKey]) -> Alert:
    named = [f"{key.name} of {key.asset_key.to_user_string()}" for key in checks]
    tables = dict.fromkeys(key.asset_key.to_user_string() for key in checks)
    return Alert(
        tuple(f"stopped {day} by {name}" for name in named),
        "stopped",
        date.fromisoformat(day),
        f"Data fault: {day} was stopped, failed: {', '.join(named)}",
        (
            *(line for table in tables for line in _quarantined(space, table, day)),
            "Nothing downstream of the raw tables was run for that day.",
        ),
        "No retraining requested: models must not learn from faulty data. Mend the delivery, ingest it again.",
    )


def _quarantined(space: Workspace, table: str, day: str) -> list[str]:
    counts = ingested.volumes(space, table)
    return [
        f"{table} of {day}: {row.quarantined:,} of {row.rows + row.quarantined:,} rows in quarantine"
        for row in counts[counts["day"] == day].itertuples()
    ]


def _request(decision: Decision) -> dg.RunRequest | None:
    if not decision.retrain or decision.drift is None:
        return None
    day, features = str(decision.newest.day), ",".join(sorted(decision.newest.drifting))
    reason = f"drift since {decision.drift.first}: {features}"
    return retrain_request(day, reason, run_key=f"drift {day}", drift=features[:250])


def _summary(decision: Decision) -> str:
    """What the tick found, for the UI."""
    newest = decision.newest
    features = ", ".join(sorted(newest.drifting | newest.faults)) or "none"
    held_back = f"; no retraining: {decision.held_back}" if decision.held_back else ""
    return f"{newest.day}: {decision.state}; features that alert: {features}{held_back}"


def _links(space: Workspace, alert: Alert) -> dict[str, str]:
    """Where to look further."""
    address = f"{space.settings.ui.dagster_url}/assets"
    if alert.kind == "stopped":
        tables = dict.fromkeys(key.split(" of ")[1] for key in alert.keys)
        return {f"checks of {table} in Dagster": f"{address}/{table}?view=checks" for table in tables}
    report = space.local("drift_report", alert.day) / "report.json"
    query = f"view=partitions&partition={alert.day}"
    return {"drift_report in Dagster": f"{address}/drift_report?{query}", "report": str(report)}
