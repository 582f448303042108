"""How long work reports progress without knowing who watches."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called now and then by long work; `done` and `total` are in `unit` (tokens, users, days)."""

    def __call__(self, done: int, total: int, unit: str) -> None: ...


def silent(done: int, total: int, unit: str) -> None:
    """Progress for nobody."""
