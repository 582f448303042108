"""What a command shows while it works: a line per stage, and what goes on now if it takes over two seconds.

On a terminal that is a bar with the remaining time. Where there is none (a log, CI) it is a line when a stage, or
the checks after it, have taken two seconds, and one every half minute with how far it is. In a Dagster process nobody
attaches a terminal, and the silent display is used.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text

PATIENCE = 2.0
"""Seconds of silence that nobody minds."""
EVERY = 30.0
"""Seconds between lines on how far a stage is, where there is no terminal."""


class Display:
    """Shows nothing."""

    def stage(self, name: str) -> None:
        """A stage, or anything else that may take long, begins."""

    def checking(self, name: str) -> None:
        """A check of an asset begins."""

    def progress(self, done: int, total: int, unit: str) -> None:
        """It is `done` of `total` units far (see `ml.progress.Progress`)."""

    def done(self, name: str, rows: int, seconds: float) -> None:
        """It has published its result."""

    def skipped(self, name: str) -> None:
        """Its result is there and up to date."""


class TerminalDisplay(Display):
    """A context manager that shows stages on a terminal, or as plain lines where there is none."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.started = time.monotonic()
        self.now: _Now = _Bar(console) if console.is_terminal else _Lines(console)

    def __enter__(self) -> Self:
        global _display
        _display = self
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        global _display
        self.now.end()
        _display = Display()

    def stage(self, name: str) -> None:
        self.now.begin(name)

    def checking(self, name: str) -> None:
        self.now.begin(f"checks of {name}")

    def progress(self, done: int, total: int, unit: str) -> None:
        self.now.progress(done, total, unit)

    def done(self, name: str, rows: int, seconds: float) -> None:
        self.now.end()
        elapsed = time.monotonic() - self.started
        clock = f"{int(elapsed) // 60:02d}:{int(elapsed) % 60:02d}"
        self.console.print(
            f"  [green]✓[/green] {name:<24} {rows:>12,} rows {seconds:>8.1f} s   [dim]after {clock}[/dim]"
        )

    def skipped(self, name: str) -> None:
        self.now.end()
        self.console.print(f"  [dim]= {name:<24} up to date, not run again[/dim]")


class _Now(Protocol):
    """What goes on at the moment; to begin the next thing ends the one before."""

    def begin(self, name: str) -> None: ...

    def progress(self, done: int, total: int, unit: str) -> None: ...

    def end(self) -> None: ...


class _Bar:
    """A moving bar on a terminal."""

    def __init__(self, console: Console) -> None:
        self.console, self.task, self.name = console, TaskID(0), ""
        self.bars: Bars | None = None

    def begin(self, name: str) -> None:
        if name == self.name:
            return
        self.end()
        self.name = name
        columns = (SpinnerColumn(), TextColumn("{task.description:<24}"))
        self.bars = Bars(*columns, console=self.console, transient=True)
        self.task = self.bars.add_task(name, total=None)
        self.bars.start()

    def progress(self, done: int, total: int, unit: str) -> None:
        if self.bars is None:
            return
        if len(self.bars.columns) == 2:  # a bar only where somebody counts
            counted = (BarColumn(bar_width=28), MofNCompleteColumn(), TextColumn(unit), TimeRemainingColumn())
            self.bars.columns = (*self.bars.columns, *counted)
        self.bars.update(self.task, completed=done, total=total)

    def end(self) -> None:
        if self.bars is not None:
            self.bars.stop()
        self.bars, self.name = None, ""


class _Lines:
    """A line when something has taken long, where there is no terminal."""

    def __init__(self, console: Console) -> None:
        self.console, self.name, self.timer = console, "", threading.Timer(0, lambda: None)
        self.began = self.told = 0.0

    def begin(self, name: str) -> None:
        if name == self.name:
            return
        self.end()
        self.name, self.began, self.told = name, time.monotonic(), time.monotonic()
        self.timer = threading.Timer(PATIENCE, self._tell, [f"{name} ..."])
        self.timer.daemon = True
        self.timer.start()

    def progress(self, done: int, total: int, unit: str) -> None:
        now = time.monotonic()
        if self.name and now - self.told >= EVERY:
            self.told = now
            self._tell(f"{self.name}: {done:,} of {total:,} {unit} after {now - self.began:.0f} s")

    def end(self) -> None:
        self.timer.cancel()
        self.name = ""

    def _tell(self, text: str) -> None:
        self.console.print(Text(f"  · {text}", style="dim"))


_display: Display = Display()


def display() -> Display:
    """The display of this process."""
    return _display


def plain(text: str) -> str:
    """Text from logs without control characters, which could drive the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
