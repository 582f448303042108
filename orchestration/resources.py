"""Dagster resources: the workspace, so that its place shows in the UI (MLflow's is in tracking.py)."""

import dagster as dg

from orchestration.stage import Stage
from orchestration.workspace import Workspace


class WorkspaceResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The workspace of this code location's settings."""

    root: str

    def open(self) -> Workspace:
        return Workspace()

    def stage(self, context: dg.AssetExecutionContext) -> Stage:
        """The stage that the running asset is."""
        return Stage(context, self.open())
