"""draft: a mapping file for logs nobody has described yet, from what lies in a directory or S3 prefix.

Try it: `print(draft("logs"))`
"""

from __future__ import annotations

import re
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb

from ml.errors import BadInput
from ml.progress import Progress, silent
from ml.sources.contract import TABLES
from ml.sources.drafting.guess import TableGuess, guess
from ml.sources.drafting.look import look
from ml.sources.drafting.text import text_of
from ml.sources.files import quoted
from ml.sources.log_columns import MICROSECONDS
from ml.sources.log_files import RawFiles
from ml.sources.log_patterns import SUFFIXES

MOST_BYTES = 512 * 2**20
"""A column of files larger than this together is not read whole to find the first day."""


def draft(data: str | Path, progress: Progress = silent) -> str:
    """The text of a mapping file with TODOs.

    Raises:
        BadInput: there is nothing to look at.
    """
    raw = RawFiles(data)
    groups = look(raw, progress)
    if not groups:
        raise BadInput(
            "no file that could be a log",
            where=raw.root,
            remedy=f"set DATA to the directory, or s3:// prefix, that has them ({', '.join(SUFFIXES)})",
        )
    found = guess(groups)
    name = re.sub(r"[^a-z0-9_-]+", "-", raw.root.rpartition("/")[2].lower()).strip("-") or "my-logs"
    return text_of(name, groups, found, _first_day(raw, found))


def _first_day(raw: RawFiles, found: dict[str, TableGuess]) -> date | None:
    """The earliest day of the events, as far as it is cheap to know."""
    days: list[date | None] = []
    with closing(raw.connect()) as con:
        for table, one in found.items():
            if TABLES[table].kind == "log" and "event_time" in one.columns:
                days.append(one.group.days[0] if one.group.days else _earliest(raw, con, one))
    return min((day for day in days if day), default=None)


def _earliest(raw: RawFiles, con: duckdb.DuckDBPyConnection, one: TableGuess) -> date | None:
    looks = one.group.column(one.columns["event_time"].source)
    if one.group.size > MOST_BYTES or len(looks.formats) > 1:
        return None
    column = quoted(looks.name)
    if looks.unit:
        moment = f"make_timestamp((TRY_CAST({column} AS BIGINT) {MICROSECONDS[looks.unit]})::BIGINT)"
    elif looks.formats and looks.formats[0]:
        moment = f"try_strptime({column}, '{looks.formats[0]}')"
    else:
        moment = f"TRY_CAST({column} AS TIMESTAMP)"
    first: datetime | None = None
    for file in one.group.files:
        with raw.reading([file]):
            value = con.execute(f"SELECT min({moment}) FROM {raw.sql([file], one.group.delimiter)}").fetchall()[0][0]
        value = value.astimezone(UTC).replace(tzinfo=None) if value is not None and value.tzinfo else value
        first = value if first is None or (value is not None and value < first) else first
    return first.date() if first else None
