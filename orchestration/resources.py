"""Dagster resources: the workspace, so that its place shows in the UI (MLflow's is in tracking.py)."""

from pathlib import Path

import dagster as dg
from pydantic import PrivateAttr

from orchestration.stage import Stage
from orchestration.workspace import Workspace
from orchestration.workspace_lock import acquire, release


class WorkspaceResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The workspace of this code location's settings; a run holds its lock for as long as it lasts."""

    root: str
    _locked: bool = PrivateAttr(default=False)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Wait until no other process writes into the workspace (sensors and schedules only look: no lock)."""
        if context.run is not None:
            log = context.log
            acquire(self._place, f"Dagster run {context.run.run_id[:8]}", log.info if log else lambda _: None)
            self._locked = True

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Let the next one in."""
        if self._locked:
            self._locked = False
            release(self._place)

    def open(self) -> Workspace:
        return Workspace()

    def stage(self, context: dg.AssetExecutionContext) -> Stage:
        """The stage that the running asset is."""
        return Stage(context, self.open())

    @property
    def _place(self) -> Path:
        return Path(self.root).absolute()
