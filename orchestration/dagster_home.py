"""DAGSTER_HOME of a workspace: where Dagster keeps its runs and events."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

INSTANCE_SETTINGS = Path(__file__).parent.parent / "dagster.yaml"


def use_dagster_home(workspace: Path) -> Path:
    """Make it, with our instance settings, and name it to every process of this command."""
    home = workspace / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(INSTANCE_SETTINGS, home / "dagster.yaml")
    os.environ["DAGSTER_HOME"] = str(home)
    return home
