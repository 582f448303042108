"""Says that something goes on when a command takes over two seconds: a spinner, a line where there is no terminal."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

PATIENCE = 2.0
"""Seconds of silence that nobody minds."""


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """While the body works: nothing for two seconds, then `what ...` on stderr (so that stdout stays the answer)."""
    console = Console(stderr=True)
    status = console.status(f"{what} ...") if sys.stderr.isatty() else None
    show = status.start if status else (lambda: console.print(f"{what} ..."))
    timer = threading.Timer(PATIENCE, show)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        if status:
            status.stop()
