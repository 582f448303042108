"""Everything Dagster loads. Imports nothing heavy: a click in the UI should not wait for torch."""

import dagster as dg

import assets
from orchestration.graph import NODES, RAW_TABLES
from orchestration.resources import WorkspaceResource
from orchestration.settings import load_settings
from orchestration.tracking import MLflowTracking

settings = load_settings()

ingest_job = dg.define_asset_job(
    "ingest_raw_logs",
    selection=dg.AssetSelection.assets(*RAW_TABLES),
    description="Ingest raw logs: one day, or a range of days in one run.",
)
snapshot_day_job = dg.define_asset_job(
    "snapshot_day",
    selection=dg.AssetSelection.assets(*NODES),
    description="Everything behind the raw tables for one snapshot day.",
)

defs = dg.Definitions(
    assets=dg.load_assets_from_package_module(assets),
    asset_checks=dg.load_asset_checks_from_package_module(assets),
    jobs=[ingest_job, snapshot_day_job],
    resources={
        "workspace": WorkspaceResource(root=str(settings.workspace)),
        "mlflow": MLflowTracking.from_settings(settings),
    },
    executor=dg.in_process_executor,
)
