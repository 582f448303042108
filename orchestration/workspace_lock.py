"""One process at a time writes into a workspace; a second one learns who does.

    <workspace>/.lock      held by flock, so it is free the moment its holder ends, however it ends

`adprior run` and `backfill` hold it throughout and refuse to start beside another. Runs that the Dagster UI or
daemon started take it for as long as they last and wait for it (see WorkspaceResource). Looking needs no lock. A
process may take it again while it holds it. It guards processes of one machine, not two machines on one S3 prefix.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from ml.errors import BadInput

FILE = ".lock"
ASK_AGAIN = 1.0
"""Seconds between two tries of who waits."""
_held: dict[Path, tuple[IO[str], int]] = {}
"""Locks of this process: the open file, and how often it was taken."""


@contextmanager
def writing(workspace: Path, what: str, *, wait: Callable[[str], None] | None = None) -> Iterator[None]:
    """Be the one process that writes into `workspace`.

    Args:
        workspace: its directory.
        what: what the process does, for whoever comes second.
        wait: wait for the lock, calling this once with who holds it; None refuses to.

    Raises:
        BadInput: another process holds it, and `wait` is None.
    """
    workspace = workspace.absolute()
    acquire(workspace, what, wait)
    try:
        yield
    finally:
        release(workspace)


def acquire(workspace: Path, what: str, wait: Callable[[str], None] | None = None) -> None:
    """Take the lock; see `writing`."""
    if workspace in _held:
        file, times = _held[workspace]
        _held[workspace] = file, times + 1
        return
    workspace.mkdir(parents=True, exist_ok=True)
    file = (workspace / FILE).open("a+")
    try:
        _lock(file, workspace, wait)
    except BaseException:
        file.close()
        raise
    file.truncate(0)
    file.write(json.dumps({"pid": os.getpid(), "what": what, "since": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"}))
    file.flush()
    _held[workspace] = file, 1


def release(workspace: Path) -> None:
    """Give it back, once for each time it was taken."""
    file, times = _held.pop(workspace)
    if times > 1:
        _held[workspace] = file, times - 1
        return
    file.truncate(0)
    file.close()


def _lock(file: IO[str], workspace: Path, wait: Callable[[str], None] | None) -> None:
    told = False
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if wait is None:
                raise BadInput(
                    f"another process works on this workspace: {_holder(file)}",
                    where=str(workspace),
                    remedy="wait until it is done, or end it; what it has finished is kept",
                ) from None
        if not told:
            wait(f"waiting for {_holder(file)}, which works on the same workspace")
            told = True
        time.sleep(ASK_AGAIN)


def _holder(file: IO[str]) -> str:
    """Who holds it, in words; it may just be beginning or ending."""
    file.seek(0)
    try:
        about = json.loads(file.read())
        return f"{about['what']}, pid {about['pid']}, since {about['since']}"
    except ValueError:
        return "one that is just beginning or ending"
