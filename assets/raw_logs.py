"""Raw tables: from the source's logs to typed, de-duplicated Parquet, bad rows in quarantine.

One step makes all seven tables, since keys reach across them. Checks: `assets/raw_checks.py`.
"""

import time
from collections.abc import Iterator
from datetime import date

import dagster as dg

from ml.sources.contract import TABLES
from ml.timeline import Window
from orchestration import ingested
from orchestration.partitions import daily
from orchestration.resources import WorkspaceResource
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
    """Ingest the days of this run."""
    from ml.sources.ingest import TableReport, ingest

    started, space, show = time.monotonic(), workspace.open(), display()
    keys = context.partition_keys
    window = Window(date.fromisoformat(keys[0]), date.fromisoformat(keys[-1]))
    show.stage("raw_logs")
    quarantine, sparse = space.root / "quarantine", space.settings.sparse
    report = ingest(space.source, window, space.lake, quarantine, sparse=sparse, progress=show.progress)
    seconds = round(time.monotonic() - started, 2)
    ingested.update(space, window, report, seconds=seconds, run_id=context.run.run_id)
    for name in TABLES:
        table = report.tables.get(name, TableReport())  # a table that the source lacks is empty, never invented
        facts = {"rows": table.rows, "quarantined": table.quarantined, "reasons": table.reasons}
        common = {"as_of": str(window.last), "seconds": seconds, "input_fingerprint": space.source.fingerprint()}
        yield dg.MaterializeResult(asset_key=name, metadata={**facts, **common, "model_version": "none"})
    show.done("raw_logs", sum(table.rows for table in report.tables.values()), seconds)
