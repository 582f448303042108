"""LogMapping: which files and columns of a user's own logs are which table and column of the contract.

One YAML file (docs/guides/your-own-logs.md). It names things and states units, zones and consent; it holds no SQL
and no credentials. What rows become is said in `ml.sources.parquet_logs`, whether the files have what it names in
`ml.sources.log_problems`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import available_timezones

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ml.sources.contract import TABLES, Column
from ml.sources.log_patterns import FilePattern
from ml.sources.mapping_errors import load_model

GUIDE = "docs/guides/your-own-logs.md"
REQUIRED = ("advertisers", "ads", "users", "conversions")
"""Tables a mapping must say something about, as in `ml.sources.ingest`."""


def _day_as_text(given: Any) -> Any:
    """YAML reads 2026-03-01 as a day; in a mapping it is the text that stands there."""
    return given.isoformat() if isinstance(given, date) else given


Scalar = Annotated[bool | int | float | str, BeforeValidator(_day_as_text)]


def _zone(name: str) -> str:
    zones = available_timezones()
    if name not in zones:
        tail = {zone.rpartition("/")[2].lower(): zone for zone in sorted(zones)}
        near = get_close_matches(str(name).lower(), tail, n=1, cutoff=0.7)
        raise ValueError(f"unknown time zone{f'; is it {tail[near[0]]}?' if near else ''}")
    return name


def _pattern(text: str) -> str:
    FilePattern(text)
    return text


def _as_list(given: Any) -> Any:
    return given if isinstance(given, list) or given is None else [given]


def _column(given: Any) -> Any:
    return {"column": given} if isinstance(given, str) else given


TimeZone = Annotated[str, BeforeValidator(_zone)]
Pattern = Annotated[str, BeforeValidator(_pattern)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class ColumnMapping(_Part):
    """Where the values of one contract column come from, and how they are read."""

    column: str | None = None
    """column of the files (or hive key of their paths); just its name instead of a block means the same"""
    constant: Scalar | None = None
    """one value for every row, instead of a column"""
    hash: list[str] | None = Field(default=None, min_length=1)
    """columns whose values together make a row's id, instead of a column: rows equal in all of them are one row"""
    filing_day: Literal[True] | None = None
    """`true`: midnight (UTC) of the day a register row is filed under, instead of a column"""
    values: dict[Scalar | None, Scalar | None] | None = None
    """what each value becomes, e.g. {pv: visit, null: none}; rows with a value that is not listed go to quarantine"""
    scale: float | None = Field(default=None, gt=0)
    """factor for numbers: 0.01 for cents, 0.000001 for micros, 0.001 for milliseconds that become seconds"""
    unit: Literal["s", "ms", "us", "ns"] | None = None
    """unit of times that are numbers since 1970-01-01 UTC: s, ms, us or ns"""
    format: str | None = None
    """strptime format of times that are text, e.g. "%d.%m.%Y %H:%M:%S" (%z reads an offset); without it ISO 8601"""
    time_zone: TimeZone | None = None
    """IANA time zone of this column's times without an offset; default: the `time_zone` of the whole mapping"""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        given = [n for n in ("column", "constant", "hash", "filing_day") if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of column, constant, hash and filing_day, not {given or 'none'}")
        reading = [n for n in ("values", "scale", "unit", "format", "time_zone") if getattr(self, n) is not None]
        if reading and self.column is None:
            raise ValueError(f"{' and '.join(reading)} go with `column`")
        if (self.values is not None and len(reading) > 1) or (self.unit and (self.format or self.time_zone)):
            raise ValueError(f"{' and '.join(reading)} do not go together")
        if self.format is not None and not _is_format(self.format):
            raise ValueError(f'{self.format!r} is no strptime format, such as "%d.%m.%Y %H:%M:%S"')
        return self

    @property
    def sources(self) -> list[str]:
        """Columns of the files that it needs."""
        return [self.column] if self.column is not None else self.hash or []


class TableMapping(_Part):
    """One contract table, or one part of it."""

    files: Annotated[list[Pattern], BeforeValidator(_as_list)] | None = Field(None, min_length=1)
    """files relative to DATA, Parquet or CSV (.parquet, .csv, .csv.gz, .tsv, .tsv.gz): one file, a directory, or a
    pattern (* within a name, ** across directories), or a list of these. {date}, or {year}, {month} and {day}, stands
    for the day in a path, e.g. events/dt={date}: then only the files of a day are read for it"""
    derive_from: Annotated[list[str], BeforeValidator(_as_list)] | None = Field(None, min_length=1)
    """instead of `files`, for advertisers, ads and users: the tables (mapped by files) in which their ids occur. An
    entity is then filed under every day on which it occurs"""
    columns: dict[str, Annotated[ColumnMapping | None, BeforeValidator(_column)]] = {}
    """contract column: column of the files, or a block (see there), or null for "we do not have it". A contract
    column that is not listed is taken from the column of the same name, if the files have one"""
    only: dict[str, list[Scalar]] = {}
    """column: values. Only rows with one of these values belong to this table, e.g. {event_type: [click]}"""
    delimiter: str = Field(",", min_length=1, max_length=1)
    """separator of CSV files (for .tsv it is the tab)"""
    day_zone: TimeZone | None = None
    """time zone whose days the {date} of `files` means; default: the `time_zone` of the whole mapping, or UTC"""
    late_days: int = Field(0, ge=0, le=90)
    """days by which files may be later than the events in them, where {date} is the day of delivery"""
    filed_by: Literal["partition", "static", "updated_at", "active_from", "created_at"] | None = None
    """for advertisers, ads and users by files: the day a row is filed under, which is the first day it is known.
    partition: the {date} of its file; static: the first day; updated_at, active_from, created_at: the day in that
    (contract) column. What lies before first_day is filed under it, the newest row of each id"""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.files is None) == (self.derive_from is None):
            raise ValueError("give exactly one of `files` and `derive_from`")
        if self.derive_from is not None and (self.only or self.filed_by or self.late_days or self.day_zone):
            raise ValueError("with `derive_from` go `columns` only")
        if self.files and len({FilePattern(pattern).has_day for pattern in self.files}) > 1:
            raise ValueError("either all patterns of `files` have a {date} or none")
        if (self.late_days or self.day_zone) and not self.has_day:
            raise ValueError("`late_days` and `day_zone` go with a {date} in `files`")
        return self

    @property
    def has_day(self) -> bool:
        """Do the paths of the files name a day?"""
        return bool(self.files) and FilePattern((self.files or [""])[0]).has_day


class ConsentList(_Part):
    """The ids of those who have consented."""

    files: Annotated[list[Pattern], BeforeValidator(_as_list)] = Field(min_length=1)
    """files relative to DATA, as for a table"""
    column: str
    """column with the user ids; whoever is not in it has not consented"""
    delimiter: str = Field(",", min_length=1, max_length=1)
    """separator of CSV files"""


Parts = Annotated[list[TableMapping], BeforeValidator(_as_list)]


class LogMapping(_Part):
    """The whole mapping file."""

    name: str = Field(pattern=r"^[a-z0-9_-]+$")
    """name of the logs in reports: lower-case letters, digits, _ and -"""
    consent: Literal["column", "granted_by_source", "list"]
    """who has agreed to such a use. column: the `consent` column of users says it for each user; list: those in
    `consent_list`; granted_by_source: all users behind these logs have agreed (if they have not, do not say it)"""
    consent_list: ConsentList | None = None
    """with `consent: list`: the files with the ids of the users who have consented"""
    first_day: date
    """first day (UTC) to deliver, YYYY-MM-DD; events before it are not read"""
    last_day: date | None = None
    """last day (UTC) to deliver; events after it are not read. Default: the last day that the files cover whole (by
    {date}), or the day of the last event"""
    sparse: bool = False
    """are days without any event legitimate?"""
    time_zone: TimeZone | None = None
    """IANA time zone of times without an offset, e.g. Europe/Berlin or UTC; must be stated if there are any"""
    advertisers: Parts = Field(min_length=1)
    """who advertises: `files` or `derive_from`, `columns`, ..."""
    ads: Parts = Field(min_length=1)
    """the ads: `files` or `derive_from`, `columns`, ..."""
    users: Parts = Field(min_length=1)
    """the users: `files` or `derive_from`, `columns`, ..."""
    activity: Parts | None = None
    """searches, visits and saves: `files`, `columns`, ...; several blocks in a list are parts of one table"""
    impressions: Parts | None = None
    """ads shown; without them the ranker trains on sampled negatives"""
    clicks: Parts | None = None
    """clicks on impressions"""
    conversions: Parts = Field(min_length=1)
    """what people bought or signed up for: `files`, `columns`, ..."""

    def parts(self, table: str) -> list[TableMapping]:
        """The blocks of one contract table; none if it is not mapped."""
        found: list[TableMapping] | None = getattr(self, table)
        return found or []

    @property
    def tables(self) -> list[str]:
        """Mapped tables, in the contract's order."""
        return [name for name in TABLES if self.parts(name)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = [*self._consent_problems()]
        if self.last_day is not None and self.last_day < self.first_day:
            problems.append("last_day lies before first_day")
        for name in self.tables:
            if len({part.files is None for part in self.parts(name)}) > 1:
                problems.append(f"{name}: its blocks must all have `files`, or all `derive_from`")
            for part in self.parts(name):
                problems += [f"{name}.{problem}" for problem in self._part_problems(name, part)]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _consent_problems(self) -> Iterator[str]:
        if (self.consent == "list") != (self.consent_list is not None):
            yield "`consent: list` and `consent_list` go together"
        for part in self.users:
            given = part.columns.get("consent")
            if given is not None and self.consent != "column":
                yield f"users.columns.consent: not with `consent: {self.consent}`, which speaks for all users"
            elif self.consent == "column" and part.derive_from:
                yield "users.derive_from: `consent: column` needs users from files with a consent column"
            elif given is not None and given.column is None:
                yield "users.columns.consent: must come from a column; for all users at once say `consent` at the top"
            elif given is not None and given.values and given.values.get(None):
                yield "users.columns.consent.values: null (nothing said) can only become false"

    def _part_problems(self, name: str, part: TableMapping) -> Iterator[str]:
        table = TABLES[name]
        known = {column.name: column for column in table.columns}
        for column, given in part.columns.items():
            if column not in known:
                yield f"columns.{column}: unknown column; {name} has {', '.join(known)}"
            else:
                for problem in _column_problems(known[column], given, table.kind):
                    yield f"columns.{column}: {problem}"
        if part.derive_from is not None:
            yield from self._derived_problems(name, part)
        elif table.kind == "log" and part.filed_by is not None:
            yield "filed_by: goes with advertisers, ads and users; events are filed under their own day"
        elif table.kind == "register":
            if part.filed_by is None and not part.has_day:
                yield (
                    "filed_by: must be stated: since when is a row known? static (from the first day on), or "
                    + f"the day in {' or '.join(_times_of(known))}"
                )
            if part.filed_by == "partition" and not part.has_day:
                yield "filed_by: partition needs a {date} in `files`"
            if part.filed_by not in (None, "partition", "static"):
                given = part.columns.get(part.filed_by)
                if part.filed_by not in known:
                    yield f"filed_by: {name} has no column {part.filed_by}"
                elif given and given.filing_day:
                    yield f"filed_by: {part.filed_by} is itself the filing day; map it to a column"

    def _derived_problems(self, name: str, part: TableMapping) -> Iterator[str]:
        if TABLES[name].kind == "log":
            yield "derive_from: only advertisers, ads and users can be derived"
            return
        key = TABLES[name].key
        for origin in part.derive_from or []:
            if origin not in TABLES or not any(p.files for p in self.parts(origin)):
                yield f"derive_from: {origin!r} is no table mapped by files"
            elif key not in TABLES[origin].column_names and key not in part.columns:
                yield f"derive_from: {origin} has no {key}; name its column under `columns`"


def _column_problems(column: Column, given: ColumnMapping | None, kind: str) -> Iterator[str]:
    """What cannot be meant, whatever the files hold."""
    if given is None:
        if not column.nullable:
            yield "null, but the contract requires a value: name a column or a constant"
        return
    times = column.type in ("TIMESTAMP", "DATE")
    if (given.unit or given.format or given.time_zone) and not times:
        yield f"unit, format and time_zone are for times, this is a {column.type}"
    if given.values is not None and times:
        yield f"values are for kinds and flags, this is a {column.type}"
    if given.scale and column.type not in ("DOUBLE", "BIGINT"):
        yield f"scale is for numbers, this is a {column.type}"
    if given.filing_day and not (times and kind == "register"):
        yield "filing_day is for times of advertisers, ads and users"
    if given.hash and column.type != "VARCHAR":
        yield f"hash is for ids, this is a {column.type}"
    becomes = [] if given.values is None else [value for value in given.values.values() if value is not None]
    becomes += [] if given.constant is None else [given.constant]
    if column.allowed and (wrong := [value for value in becomes if value not in column.allowed]):
        yield f"{wrong[0]!r} is not one of {', '.join(column.allowed)}"
    if column.type == "BOOLEAN" and (wrong := [value for value in becomes if not isinstance(value, bool)]):
        yield f"{wrong[0]!r} is neither true nor false"
    if not column.nullable and given.values and None in given.values.values():
        yield "a value becomes null, but the contract requires one"


def _times_of(columns: dict[str, Column]) -> list[str]:
    return [name for name in ("updated_at", "active_from", "created_at") if name in columns]


def _is_format(text: str) -> bool:
    import duckdb

    with duckdb.connect() as con:
        try:
            con.execute("SELECT try_strptime('', ?)", [text])
        except duckdb.Error:
            return False
    return "%" in text


def load_log_mapping(path: Path) -> LogMapping:
    """Read a mapping file.

    Raises:
        BadInput: no such file, no YAML, or a wrong field (see `ml.sources.mapping_errors`).
    """
    return load_model(path, LogMapping, GUIDE)
