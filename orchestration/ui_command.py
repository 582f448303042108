"""`adprior ui`: Dagster and MLflow pages side by side, on the state that the last run left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from rich.console import Console

from ml.errors import BadInput
from orchestration.dagster_home import use_dagster_home
from orchestration.last_run import settings_of_last_run
from orchestration.settings import Settings

WORKSPACE = Path(__file__).parent.parent / "workspace.yaml"


def ui_command() -> None:
    """Start both pages, print their addresses when they answer, and end both on Ctrl-C.

    Raises:
        BadInput: a page did not start.
    """
    settings, console = settings_of_last_run(), Console()
    home, ui = use_dagster_home(settings.workspace), settings.ui
    logs = {name: (home / f"{name}.log").open("w") for name in ("dagster", "mlflow")}
    commands = {"dagster": _dagster(settings), "mlflow": _mlflow(settings)}
    console.print(f"Starting both pages for {settings.workspace} ...")
    running = {
        name: subprocess.Popen(command, stdout=logs[name], stderr=subprocess.STDOUT, start_new_session=True)
        for name, command in commands.items()
    }
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for name, address in (("dagster", f"{ui.dagster_url}/server_info"), ("mlflow", f"{ui.mlflow_url}/health")):
            _wait(running[name], name, address, Path(logs[name].name))
        console.print(
            f"Dagster  [bold]{ui.dagster_url}[/bold]\nMLflow   [bold]{ui.mlflow_url}[/bold]\nCtrl-C ends both."
        )
        while all(process.poll() is None for process in running.values()):
            time.sleep(1)
        raise BadInput("a page stopped by itself", where=str(home), remedy="read dagster.log and mlflow.log there")
    except KeyboardInterrupt:
        console.print("\nEnding both pages ...")
    finally:
        _end(list(running.values()))


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    """Ask each to stop, and end whatever of its process group is left after 15 seconds."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + 15
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=max(0.1, deadline - time.monotonic()))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _dagster(settings: Settings) -> list[str]:
    place = ["--host", settings.ui.host, "--port", str(settings.ui.dagster_port)]
    return [sys.executable, "-m", "dagster", "dev", "-w", str(WORKSPACE), *place]


def _mlflow(settings: Settings) -> list[str]:
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # the job runner costs 30 s of start and 1 GB
    out = settings.out.absolute()
    place = ["--host", settings.ui.host, "--port", str(settings.ui.mlflow_port), "--workers", "1"]
    store = ["--backend-store-uri", f"sqlite:///{out}/mlflow.db", "--default-artifact-root", str(out / "mlartifacts")]
    return [sys.executable, "-m", "mlflow", "server", *place, *store]


def _wait(process: subprocess.Popen[bytes], name: str, address: str, log: Path) -> None:
    for _ in range(180):
        if process.poll() is not None:
            tail = "\n".join(log.read_text().splitlines()[-5:])
            raise BadInput(
                f"the {name} page did not start:\n{tail}", where=str(log), remedy="is its port taken? set ui.*_port"
            )
        try:
            urllib.request.urlopen(address, timeout=2)
            return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(1)
    raise BadInput(f"the {name} page did not answer within 3 minutes", where=str(log), remedy="read that log")
