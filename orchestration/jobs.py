"""Jobs: what is materialized together, by hand, by schedule or by a sensor.

| job | makes | for |
|---|---|---|
| `ingest_raw_logs` | raw tables | one day, or a range of days in one run |
| `daily` | raw tables, and all that can be known of the day by its end; models only where there are none yet | a day |
| `snapshot_day` | everything behind the raw tables | one day, as `make run` does |
| `evaluate` | control predictions, evaluation, report | a day whose outcomes are known |
| `retrain` | new versions of all models | the day in the tag `adprior/day` |

Runs of an instance go one after another (dagster.yaml), so that a retraining and a day never meet.
"""

import warnings

import dagster as dg

from orchestration.graph import AFTER_CLOSE, NODES, RAW_TABLES
from orchestration.partitions import daily
from orchestration.stage import DAY_TAG, RESUME_TAG, RETRAIN_TAG

MODELS = tuple(name for name, node in NODES.items() if node.kind == "model")
BY_END_OF_DAY = (*RAW_TABLES, *(name for name in NODES if name not in AFTER_CLOSE))
# Raw tables take a range of days in one run, the rest a run a day: in jobs that hold both, the latter is meant.
warnings.filterwarnings("ignore", message="Asset job .* varying BackfillPolicies")
RESUME = {RESUME_TAG: "true"}

ingest_job = dg.define_asset_job(
    "ingest_raw_logs",
    selection=dg.AssetSelection.assets(*RAW_TABLES),
    description="Ingest raw logs: one day, or a range of days in one run.",
)
daily_job = dg.define_asset_job(
    "daily",
    selection=dg.AssetSelection.assets(*BY_END_OF_DAY),
    partitions_def=daily,
    tags=RESUME,
    description="A day's logs, checks, contexts, predictions (changed users only), candidates and drift. "
    "Uses the newest models; trains one only where there is none.",
)
snapshot_day_job = dg.define_asset_job(
    "snapshot_day",
    selection=dg.AssetSelection.assets(*NODES),
    tags=RESUME,
    description="Everything behind the raw tables for one snapshot day; what is up to date is taken as it is.",
)
evaluate_job = dg.define_asset_job(
    "evaluate",
    selection=dg.AssetSelection.assets(*AFTER_CLOSE),
    partitions_def=daily,
    tags=RESUME,
    description="Evaluation and report of a day whose outcomes are all known by now.",
)
retrain_job = dg.define_asset_job(
    "retrain",
    selection=dg.AssetSelection.assets(*MODELS),
    tags={**RESUME, RETRAIN_TAG: "by hand"},
    description="New versions of all models, on the labels known by the day in the tag adprior/day "
    "(without it: the newest day whose outcomes are known).",
)

jobs = [ingest_job, daily_job, snapshot_day_job, evaluate_job, retrain_job]


def retrain_request(day: str, reason: str, run_key: str | None = None, **tags: str) -> dg.RunRequest:
    """Ask for a retraining.

    Args:
        day: snapshot day (ISO) whose logs are in the lake.
        reason: why, for a person to read; shown as the run's tag `adprior/retrain`.
        run_key: used up for ever once requested, even if the run fails.
        tags: further tags, such as `drift="interests"`; each gets the prefix `adprior/`.
    """
    further = {f"adprior/{name}": value for name, value in tags.items()}
    return dg.RunRequest(
        run_key=run_key, job_name="retrain", tags={RETRAIN_TAG: reason[:250], DAY_TAG: day, **RESUME, **further}
    )
