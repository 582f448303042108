"""Blocking checks of the raw tables: schema, values, and volume with quarantine, by Great Expectations."""

import dagster as dg

from ml.sources.contract import PRIVATE, TABLES
from orchestration import ingested
from orchestration.check_results import as_result
from orchestration.resources import WorkspaceResource
from orchestration.run_days import run_days
from orchestration.terminal import display


def _contract_check(name: str) -> dg.AssetChecksDefinition:
    @dg.multi_asset_check(
        name=f"{name}_contract_checks",
        specs=[
            dg.AssetCheckSpec("schema", asset=name, blocking=True, description="Columns and types of the contract."),
            dg.AssetCheckSpec(
                "values",
                asset=name,
                blocking=True,
                description="Keys, nulls, allowed values and ranges of the contract.",
            ),
            dg.AssetCheckSpec(
                "volume",
                asset=name,
                blocking=True,
                description="Quarantined share of each day, and its rows against the 14 days before.",
            ),
        ],
    )
    def checks(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource):
        from ml.validation.raw import SAMPLE_ROWS, check_schema, check_values, check_volumes

        space, table, days = workspace.open(), TABLES[name], run_days(context)
        display().checking("raw_logs")
        with space.lake.connect() as con:
            found = {column: kind for column, kind, *_ in con.execute(f"DESCRIBE {name}").fetchall()}
            sample = con.execute(f"FROM {name} USING SAMPLE reservoir({SAMPLE_ROWS} ROWS) REPEATABLE (1)").df()
        limits = space.settings.checks
        volume = check_volumes(
            ingested.volumes(space, name),
            days,
            max_quarantined=limits.max_quarantined_share,
            min_ratio=limits.min_volume_ratio,
            max_ratio=limits.max_volume_ratio,
            what=f"days of {name}",
            judge_ratio=table.kind == "log" and not space.settings.sparse,
        )
        examples = [{k: v for k, v in row.items() if k not in PRIVATE} for row in ingested.examples(space, name)]
        yield as_result("schema", name, check_schema(table, found))
        yield as_result("values", name, check_values(table, sample))
        yield as_result("volume", name, volume, quarantined_rows=examples)

    return checks


raw_table_checks = [_contract_check(name) for name in TABLES]
