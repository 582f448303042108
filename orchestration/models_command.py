"""`adprior models`: the registered model versions, and which of them the newest day uses."""

from __future__ import annotations

import json
import textwrap
from datetime import date
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestration import plan
from orchestration.graph import NODES
from orchestration.last_run import settings_of_last_run
from orchestration.mlflow_records import RegisteredVersion, registered_versions, store
from orchestration.waiting import waiting
from orchestration.workspace import Workspace

MAIN_METRICS = {
    "advertiser_llm": ("validation/llm/log_loss", "validation/popularity/log_loss", "validation/llm/recall_at_10"),
    "ranker": ("calibration/llm/auc", "calibration/none/auc", "volume/rows_train"),
    "retrieval_model": ("validation/two_tower/log_loss", "validation/popularity/log_loss", "volume/positives"),
}
"""Shown first, as far as they were logged; of other models the first few by name."""

WIDE = 100
"""Columns from which three metrics fit."""


def models_command(*, as_json: bool) -> None:
    """Print every registered version under `out`, newest first."""
    workspace = Workspace(settings_of_last_run())
    with waiting("asking MLflow"):
        found = registered_versions(workspace.settings)
    used = _used(workspace)
    rows = [_row(version, used) for version in found]
    if as_json:
        print(json.dumps(rows, indent=2))
    elif rows:
        _show(rows, used, Console())
    else:
        Console().print(
            f"No model is registered in {store(workspace.settings)}. `adprior run` trains and registers "
            "them; --out names another place.",
            soft_wrap=True,
        )


def _used(workspace: Workspace) -> dict[str, str]:
    """Version of each model that the newest day with predictions uses; {} without such a day."""
    days: list[date] = workspace.days("advertiser_predictions")
    models = [name for name, node in NODES.items() if node.kind == "model"]
    return {name: plan.model_version(workspace, name, days[-1]) for name in models} if days else {}


def _row(version: RegisteredVersion, used: dict[str, str]) -> dict[str, Any]:
    day, _, recipe = version.directory.rpartition("-")
    return {
        "model": version.model,
        "version": version.version,
        "aliases": version.aliases,
        "created": version.created.isoformat(timespec="seconds"),
        "trained_for": day or None,
        "recipe": recipe or None,
        "source": version.tags.get("adprior.source"),
        "profile": version.tags.get("adprior.profile"),
        "dataset": version.tags.get("adprior.dataset"),
        "metrics": _main_metrics(version),
        "mlflow_run": version.run_id,
        "mlflow_run_name": version.run_name,
        "dagster_run": version.tags.get("dagster.run_id"),
        "used_by_newest_day": bool(version.directory) and used.get(version.model) == version.directory,
    }


def _main_metrics(version: RegisteredVersion) -> dict[str, float]:
    wanted = [name for name in MAIN_METRICS.get(version.model, ()) if name in version.metrics]
    return {name: version.metrics[name] for name in wanted or sorted(version.metrics)[:3]}


def _show(rows: list[dict[str, Any]], used: dict[str, str], console: Console) -> None:
    """A table a model and source: figures of different logs do not compare."""
    kinds = [(row["model"], f"{row['source']} {row['profile']}") for row in rows]
    for kind in dict.fromkeys(kinds):
        mine = [row for row, own in zip(rows, kinds, strict=True) if own == kind]
        metrics = list(dict.fromkeys(name for row in mine for name in row["metrics"]))
        metrics = metrics if console.width >= WIDE else metrics[:2]
        table = Table(box=SIMPLE, pad_edge=False, collapse_padding=True, header_style="bold")
        for column in ("", "aliases", "trained for", "recipe", "MLflow"):
            wraps = column == "aliases"
            table.add_column(column, no_wrap=not wraps, overflow="fold", min_width=10 if wraps else None)
        for name in metrics:
            table.add_column(_heading(name), justify="right", no_wrap=True)
        for row in mine:
            mark = "*" if row["used_by_newest_day"] else " "
            cells = [f"{mark} {row['version']}", " ".join(row["aliases"]) or "-", row["trained_for"], row["recipe"]]
            figures = [_figure(row["metrics"].get(name)) for name in metrics]
            table.add_row(*(cell or "-" for cell in cells), row["mlflow_run"][:8], *figures)
        console.print(Text.assemble((kind[0], "bold"), (f"   {kind[1]}", "dim")), table)
    if used:
        console.print("* used by the newest day. `adprior ui` opens the MLflow pages.", style="dim")


def _heading(name: str) -> str:
    """A metric's name in lines of at most 11 characters, a part of it on a line of its own."""
    return "\n".join(textwrap.fill(part.replace("_", " "), 11) for part in name.split("/"))


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if value == int(value) else f"{value:.4g}"
