"""What `make run` shows while it works: a line per stage, a bar with remaining time on long ones.

In a Dagster process nobody attaches a terminal, and the silent display is used.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars


class Display:
    """Shows nothing."""

    def stage(self, name: str) -> None:
        """A stage begins."""

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
        self.bars = Bars(
            TextColumn("  {task.description:<26}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self.task, self.name = None, ""

    def __enter__(self) -> Self:
        global _display
        self.bars.start()
        _display = self
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        global _display
        self.bars.stop()
        _display = Display()

    def stage(self, name: str) -> None:
        self._clear()
        self.name = name
        self.task = self.bars.add_task(name, total=None, unit="")

    def progress(self, done: int, total: int, unit: str) -> None:
        if self.task is not None:
            self.bars.update(self.task, completed=done, total=total, unit=unit)

    def done(self, name: str, rows: int, seconds: float) -> None:
        self._clear()
        elapsed = time.monotonic() - self.started
        clock = f"{int(elapsed) // 60:02d}:{int(elapsed) % 60:02d}"
        self.console.print(
            f"  [green]✓[/green] {name:<24} {rows:>12,} rows {seconds:>8.1f} s   [dim]after {clock}[/dim]"
        )

    def skipped(self, name: str) -> None:
        self._clear()
        self.console.print(f"  [dim]= {name:<24} up to date, not run again[/dim]")

    def _clear(self) -> None:
        if self.task is not None:
            self.bars.remove_task(self.task)
            self.task = None


_display: Display = Display()


def display() -> Display:
    """The display of this process."""
    return _display


def plain(text: str) -> str:
    """Text from logs without control characters, which could drive the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
