"""What a source of raw logs must offer (contract suite: tests/contracts/)."""

from __future__ import annotations

from datetime import date
from typing import Protocol

import pyarrow as pa

from ml.timeline import Window


class LogSource(Protocol):
    """Delivers the tables of the raw-log contract as they come; `ml.sources.ingest` makes them safe."""

    name: str

    def window(self) -> Window:
        """First and last day that the source can deliver."""
        ...

    def tables(self) -> set[str]:
        """Names of the contract tables it has; the others are empty, never invented."""
        ...

    def read(self, table: str, window: Window) -> pa.Table:
        """Rows of one table filed under the days of `window`, plus a column `_day` (DATE): the filing day.

        Values are as delivered: wrong types, nulls and duplicates are the ingest's business. A column `_fault`, if
        there is one, says why a row cannot be right (`<column>: <what is wrong>`), where only the source can see it.

        Raises:
            BadInput: a missing table or column, or an unreadable file.
        """
        ...

    def fingerprint(self, day: date | None = None) -> str:
        """Changes when what would be delivered for `day` changes; without a day, when anything would.

        A source that cannot tell days apart gives the same for each: then a change makes every day new.
        """
        ...
