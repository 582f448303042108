"""Problem: one thing wrong with raw logs, as found by looking rather than by stopping.

`BadInput` stops at the first; a source's `problems()` returns a Problem for each, so that all can be mended at
once. A text in it never holds a person's own words (see `ml.sources.contract.PRIVATE`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ml.errors import BadInput


@dataclass(frozen=True)
class Problem:
    """What is wrong, where, and how to mend it."""

    what: str
    """One clause."""
    where: str
    """The file, table or setting at fault."""
    remedy: str
    """What the reader should do about it."""
    column: str | None = None
    """The column at fault, if it is one."""
    example: str | None = None
    """A value, key or day that shows it."""

    @classmethod
    def of(cls, error: BadInput, *, column: str | None = None, example: str | None = None) -> Problem:
        """The problem that an error stopped at."""
        return cls(error.what, error.where, error.remedy, column, example)

    def error(self) -> BadInput:
        """The error to stop with, for whoever cannot go on."""
        return BadInput(self.what, where=self.where, remedy=self.remedy)


def shape(value: str) -> str:
    """A value without what it says: 9 for each digit, a for each other letter."""
    return re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "9", value))[:40]
