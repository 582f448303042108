"""Raw tables: from the source's logs to typed, de-duplicated Parquet, bad rows in quarantine.

One step makes all seven tables, since keys reach across them. Checks: `assets/raw_checks.py`.
"""

import time
from collections.abc import Iterator
from datetime import date
from typing import Any

import dagster as dg

from ml.sources.contract import TABLES
from ml.timeline import Window
from orchestration import ingested
from orchestration.partitions import daily
from orchestration.resources import WorkspaceResource
from orchestration.stage import REDO_TAG, RESUME_TAG
from orchestration.terminal import display


@dg.multi_asset(
    name="raw_logs",
    specs=[
        dg.AssetSpec(
            table.name,
            description=f"{table.description} Columns: {', '.join(table.column_names)}.",
            group_name="raw_logs",
            kinds={"parquet", "duckdb"},
            owners=["team:ads-ml"],
            code_version="1",
        )
        for table in TABLES.values()
    ],
    partitions_def=daily,
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def raw_logs(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> Iterator[dg.MaterializeResult]:
    """Ingest the days of this run; one that resumes takes over what is in the lake as delivered."""
    from ml.sources.ingest import TableReport, ingest

    started, space, show, tags = time.monotonic(), workspace.open(), display(), context.run.tags
    keys = context.partition_keys
    window = Window(date.fromisoformat(keys[0]), date.fromisoformat(keys[-1]))
    show.stage("raw_logs")
    resumes = RESUME_TAG in tags and "raw_logs" not in tags.get(REDO_TAG, "").split(",")
    facts: dict[str, Any] | None = ingested.counts(space, window) if resumes else None
    if facts is None:
        quarantine, sparse = space.place / "quarantine", space.settings.sparse
        report = ingest(space.source, window, space.lake, quarantine, sparse=sparse, progress=show.progress)
        seconds = round(time.monotonic() - started, 2)
        ingested.update(space, window, report, seconds=seconds, run_id=context.run.run_id)
        tables = {name: report.tables.get(name, TableReport()) for name in TABLES}  # one that is lacking is empty
        facts = {n: {"rows": t.rows, "quarantined": t.quarantined, "reasons": t.reasons} for n, t in tables.items()}
        show.done("raw_logs", sum(table.rows for table in tables.values()), seconds)
    else:
        show.skipped("raw_logs")
    seconds = round(time.monotonic() - started, 2)
    common = {"as_of": str(window.last), "seconds": seconds, "input_fingerprint": space.source.fingerprint()}
    for name in TABLES:
        yield dg.MaterializeResult(asset_key=name, metadata={**facts[name], **common, "model_version": "none"})
