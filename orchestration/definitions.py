"""Everything Dagster loads. Imports nothing heavy: a click in the UI should not wait for torch."""

import dagster as dg

import assets
from orchestration.jobs import jobs
from orchestration.resources import WorkspaceResource
from orchestration.schedules import schedules
from orchestration.sensors import sensors
from orchestration.settings import load_settings
from orchestration.tracking import MLflowTracking

settings = load_settings()

defs = dg.Definitions(
    assets=dg.load_assets_from_package_module(assets),
    asset_checks=dg.load_asset_checks_from_package_module(assets),
    jobs=jobs,
    schedules=schedules,
    sensors=sensors,
    resources={
        "workspace": WorkspaceResource(root=str(settings.workspace)),
        "mlflow": MLflowTracking.from_settings(settings),
    },
    executor=dg.in_process_executor,
)
