"""`adprior check`: a dry run over raw logs that runs nothing else and keeps nothing."""

from __future__ import annotations

import errno
import signal
import sys
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from types import FrameType

from rich.console import Console

from ml.artifacts import read_manifest
from ml.errors import BadInput
from ml.sources.base import LogSource
from ml.sources.check import CheckPlan, CheckReport, check
from ml.sources.inspection.estimate import Estimate, estimate, reference_runs, work_of
from ml.sources.inspection.splits import SplitSettings
from ml.sources.inspection.volumes import VolumeLimits
from orchestration.check_page import print_report
from orchestration.measured import measured_runs
from orchestration.settings import Settings, load_settings
from orchestration.terminal import TerminalDisplay
from orchestration.workspace import Workspace


def check_command() -> bool:
    """Look at the logs and print what was found; returns whether a run may start.

    Raises:
        BadInput: the settings or the mapping cannot be read, or there is no room for the dry run.
    """
    settings, console = load_settings(), Console()
    console.print(f"[bold]Adprior check[/bold]  source {settings.source}, profile {settings.profile}; nothing is kept")
    signal.signal(signal.SIGTERM, _interrupt)  # or the temporary directory would stay
    try:
        with TemporaryDirectory(prefix="adprior-check-") as scratch:
            report = _look(workspace := Workspace(settings), Path(scratch), console)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise BadInput(
            "no room for the dry run, which needs about as much as the logs take",
            where=gettempdir(),
            remedy="set TMPDIR to a directory with more room; it is emptied afterwards",
        ) from error
    print_report(console, report, _estimate(report, workspace))
    return report.may_run


def plan_of(settings: Settings, today: date) -> CheckPlan:
    """What of the settings decides whether these logs may run."""
    limits, predictions = settings.checks, settings.predictions
    # Logs in the contract's own layout say their days by being listed, which the check does itself.
    by_mapping = settings.source == "world" or settings.mapping_file is not None
    return CheckPlan(
        settings.timeline,
        SplitSettings(
            settings.contexts,
            min_users=settings.catalogue.min_users,
            min_conversions=predictions.min_conversions,
            max_users=predictions.max_users,
            negatives=settings.ranker.negatives,
            attribution=settings.ranker.attribution,
        ),
        VolumeLimits(
            limits.max_quarantined_share,
            limits.min_volume_ratio,
            limits.max_volume_ratio,
            sparse=by_mapping and settings.sparse,
        ),
        as_of=settings.as_of,
        first_day=settings.first_day if by_mapping else None,
        today=None if settings.source == "world" else today,
        days_only=settings.source == "purchases",
        top_k=min(predictions.top_k, 20),  # fewer make the figures shown mean little; at 50 recall is 1 then
        min_advertisers_with_targets=limits.min_advertisers_with_targets,
    )


def _look(workspace: Workspace, scratch: Path, console: Console) -> CheckReport:
    plan = plan_of(workspace.settings, datetime.now(UTC).date())
    with TerminalDisplay(console) as display:
        display.stage("reading the logs")
        source = _source(workspace, scratch / "landing", display)
        return check(source, plan, scratch / "dry-run", display.progress)


def _estimate(report: CheckReport, workspace: Workspace) -> Estimate | None:
    """Expected time of a run that may start."""
    if report.ingest is None or report.splits is None:
        return None
    settings, own, reference = workspace.settings, measured_runs(workspace), reference_runs()
    work = partial(
        work_of,
        report.ingest,
        report.splits,
        settings.llm,
        settings.predictions.past_users,
        settings.ranker.max_rows,
    )
    return estimate(work, own, reference, settings.llm.base_model)


def _source(workspace: Workspace, landing: Path, display: TerminalDisplay) -> LogSource:
    """The source of the settings; a world that was never simulated is simulated aside."""
    settings = workspace.settings
    if settings.source == "world":
        from ml.sources.world import WorldSource
        from ml.world.simulator import world_fingerprint

        made = read_manifest(workspace.root / "landing")
        if made is None or made.get("fingerprint") != world_fingerprint(settings.world, settings.seed):
            return WorldSource(settings.world, settings.seed, landing, display.progress)
    return workspace.source


def _interrupt(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)
