"""How an MLflow run ends when it does not simply finish: failed or stopped with the reason, or killed long ago."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psutil

from ml.errors import AdpriorError

LONGEST = 1_000
"""Characters of a reason that are kept."""
REASON = "adprior.ended_because"


@contextmanager
def reason(client: Any, opened: Any) -> Iterator[None]:
    """The body of an opened run (mlflow.ActiveRun); leaves on it why it failed, or that it was stopped."""
    run_id = opened.info.run_id
    try:
        with opened:
            yield
    except Exception as error:
        client.set_tag(run_id, REASON, _words(error))
        raise
    except BaseException:  # Ctrl-C, which Dagster turns into an exception of its own
        client.set_tag(run_id, REASON, "stopped by hand; the same command resumes it")
        client.set_terminated(run_id, "KILLED")
        raise


def close_abandoned(client: Any, experiment: str) -> None:
    """Mark runs of killed processes as killed: nothing else ever would.

    What a killed training had reached is not lost: the run that resumes it logs the whole curve.
    """
    for run in client.search_runs([experiment], "attributes.status = 'RUNNING'"):
        if _is_dead(run):
            client.set_tag(run.info.run_id, REASON, "its process was killed; a later run does its work")
            client.set_terminated(run.info.run_id, "KILLED")


def _is_dead(run: Any) -> bool:
    """Has the process that opened the run ended? Of other machines' processes nothing is known."""
    tags = run.data.tags
    if tags.get("adprior.host") != platform.node():
        return False
    try:
        started = psutil.Process(int(tags["adprior.pid"])).create_time()
    except (psutil.NoSuchProcess, KeyError):
        return "adprior.pid" in tags
    # A process younger than the run has got the number of the one that opened it.
    return datetime.fromtimestamp(started, UTC) > datetime.fromtimestamp(run.info.start_time / 1000, UTC)


def _words(error: Exception) -> str:
    """Our own messages whole; of other errors only the kind, since their text may quote data."""
    text = str(error) if isinstance(error, AdpriorError) else f"{type(error).__name__}; the Dagster run has the trace"
    return text[:LONGEST]
