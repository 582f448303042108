"""TolerantSource: reads on where a source stops, and remembers what it could not read.

What cannot be read is left out day by day and table by table; the rest goes through the very ingest of the
pipeline. A source that knows its own problems (`problems()`) is asked for them: it names every file at once.
"""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Protocol, runtime_checkable

import pyarrow as pa

from ml.errors import BadInput
from ml.places import AGAIN
from ml.sources.base import LogSource
from ml.sources.contract import TABLES
from ml.sources.ingest import REQUIRED
from ml.sources.problem import Problem
from ml.timeline import Window

HOPELESS = 14
"""Days in a row of which a table could not be read, after which it is asked no more."""


@runtime_checkable
class HasProblems(Protocol):
    """A source that can say everything that is wrong with its files without stopping at the first."""

    def problems(self) -> list[Problem]: ...


@runtime_checkable
class HasSoundPart(Protocol):
    """A source that can leave out what it cannot even list (a directory with a wrong name)."""

    def sound(self) -> LogSource: ...


class TolerantSource:
    """A LogSource that never raises on a file or table, only where the storage fails; see `problems` afterwards.

    Attributes:
        problems: everything that stopped a read, or that the source itself knows of, each once.
        unread: (table, day) whose rows are missing, or not all there.
    """

    def __init__(self, source: LogSource) -> None:
        self.problems: list[Problem] = source.problems() if isinstance(source, HasProblems) else []
        self.unread: set[tuple[str, date]] = set()
        self.inner = source.sound() if isinstance(source, HasSoundPart) else source
        self.name = source.name
        self._found = self.inner.tables()
        self._declared = self._found if self.inner is source else self._found | _tables_of(source)
        self._failed: Counter[str] = Counter()
        if hasattr(self.inner, "backlog_day"):
            self.backlog_day: date = self.inner.backlog_day

    @property
    def missing(self) -> list[str]:
        """Required tables that the source lacks, and knows nothing of."""
        return [name for name in REQUIRED if name not in self._declared]

    def window(self) -> Window:
        return self.inner.window()

    def tables(self) -> set[str]:
        """Those of the source and those it should have: the latter are read as empty."""
        return self._found | set(REQUIRED)

    def read(self, table: str, window: Window) -> pa.Table:
        if table not in self._found:
            return _nothing(table)
        if self._failed[table] > HOPELESS:
            self.unread |= {(table, day) for day in window.days}
            return _nothing(table)
        try:
            rows = self._complete(table, window)
            self._failed[table] = 0
            return rows
        except BadInput as error:
            if error.remedy == AGAIN:
                raise  # a storage that does not answer would be waited for at every day of every table
            self._note(error)
            if window.first == window.last:
                self.unread.add((table, window.first))
                self._failed[table] += 1
                return _nothing(table)
        parts = [self.read(table, Window(day, day)) for day in window.days]
        return pa.concat_tables([part for part in parts if part.num_rows] or parts[:1], promote_options="permissive")

    def fingerprint(self, day: date | None = None) -> str:
        return self.inner.fingerprint(day)

    def unsound(self) -> set[str]:
        """Tables that are missing, or of which something could not be read."""
        return {table for table, _ in self.unread} | set(self.missing) | (self._declared - self._found)

    def _complete(self, table: str, window: Window) -> pa.Table:
        rows = self.inner.read(table, window)
        for column in TABLES[table].required:
            if column not in rows.column_names:
                raise BadInput(
                    f"no column {column!r} in table {table}",
                    where=f"source {self.name}, table {table}",
                    remedy=f"deliver column {column!r}: the contract requires it",
                )
        return rows

    def _note(self, error: BadInput) -> None:
        known = any(error.where == p.where or (error.what, error.remedy) == (p.what, p.remedy) for p in self.problems)
        if not known:
            self.problems.append(Problem.of(error))


def _tables_of(source: LogSource) -> set[str]:
    """The tables a source means to have, as far as it can say."""
    try:
        return source.tables()
    except BadInput:
        return set()


def _nothing(table: str) -> pa.Table:
    names = TABLES[table].column_names
    return pa.schema([*((name, pa.string()) for name in names), ("_day", pa.date32())]).empty_table()


MANY = 20
"""Files with one and the same problem beyond which they are no longer listed one by one."""


def gathered(problems: list[Problem]) -> list[Problem]:
    """A column that many files lack as one problem, and so any other problem of more than MANY files."""
    groups: dict[tuple[str, str, str | None], list[Problem]] = {}
    for problem in problems:
        groups.setdefault((problem.what, problem.remedy, problem.column), []).append(problem)
    found: list[Problem] = []
    for group in groups.values():
        found += [_as_one(group)] if group[0].column or len(group) > MANY else group
    return found


def _as_one(group: list[Problem]) -> Problem:
    first, places = group[0], len({problem.where for problem in group})
    where = first.where if places == 1 else f"{first.where} (the first of {places:,} such files)"
    return Problem(first.what, where, first.remedy, first.column, first.example)
