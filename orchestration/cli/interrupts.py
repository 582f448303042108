"""Ctrl-C is heard wherever it lands.

Python raises KeyboardInterrupt at whatever line is running. Where that is a destructor, a weak reference's
callback or a callback of a C library, the exception is dropped with a note, and the work goes on as if nobody had
pressed anything. Such an interrupt is sent again.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

AGAIN_AFTER = 0.1
"""Seconds: by then the callback that swallowed it is over."""


@contextmanager
def every_interrupt_heard() -> Iterator[None]:
    """Send an interrupt that Python had to drop again, instead of printing its trace."""
    before = sys.unraisablehook

    def hear(dropped: sys.UnraisableHookArgs) -> None:
        if "Interrupt" not in dropped.exc_type.__name__:  # KeyboardInterrupt, DagsterExecutionInterruptedError
            return before(dropped)
        return threading.Timer(AGAIN_AFTER, os.kill, [os.getpid(), signal.SIGINT]).start()

    sys.unraisablehook = hear
    try:
        yield
    finally:
        sys.unraisablehook = before
