"""What lies below DATA: files grouped by the shape of their paths, and what the columns of each group hold.

Looks at a few files of a group and at the first rows of each. What it remembers of values are counts, ranges and
shapes; values themselves only of columns that hold a handful of short words, which is what kinds and flags look like.
"""

from __future__ import annotations

import gzip
import re
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import duckdb

from ml.errors import BadInput
from ml.progress import Progress, silent
from ml.sources.files import quoted
from ml.sources.log_columns import FLOATS, INTEGERS, needs_zone
from ml.sources.log_files import FILE, RawFile, RawFiles
from ml.sources.log_patterns import SUFFIXES
from ml.sources.log_values import EPOCH, FORMATS
from ml.sources.problem import shape

ROWS, FILES = 3000, 5
"""Rows of a file, and files of a group, that are looked at."""
FEW_WORDS, WORD_ROWS, WORD_LENGTH = 12, 5, 24
"""A column of kinds: at most so many different values, each in so many rows on average, none longer."""
PERSONAL = frozenset(
    ["first", "last", "full", "surname", "forename", "mail", "email", "phone", "mobile", "address", "street", "birth"]
)
"""Words in the name of a column of which no value is ever shown."""
_PLAIN = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)? ?([zZ]|[+-]\d{2}:?\d{2}|UTC)?$"
_OFFSET = r":\d{2}(\.\d+)? ?([zZ]|[+-]\d{2}(:?\d{2})?|UTC)$"


@dataclass(frozen=True)
class Looks:
    """What a column holds, in the rows looked at.

    Attributes:
        type: DuckDB type.
        rows, present, distinct: rows, those with a value, and different values.
        low, high: range of numbers.
        unit: of numbers that look like times; `formats`: of texts that do ("" is ISO 8601), best first.
        offset: times carry an offset.
        share: of the texts: "uuid", "hash", "email", "url", "digits", "long".
        words: values and their rows, of a column of kinds or flags; empty for any other.
        shape: of one value, without what it says.
        ids: some values as hashes, to see which columns join.
    """

    name: str
    type: str
    rows: int
    present: int
    distinct: int
    low: float | None = None
    high: float | None = None
    whole: bool = False
    unit: str | None = None
    formats: tuple[str, ...] = ()
    offset: bool = False
    share: dict[str, float] = field(default_factory=dict)
    words: dict[str, int] = field(default_factory=dict)
    shape: str = ""
    ids: frozenset[int] = frozenset()

    @property
    def is_time(self) -> bool:
        return self.type.startswith("TIMESTAMP") or self.type == "DATE" or bool(self.unit or self.formats)

    @property
    def is_naive(self) -> bool:
        """A time without an offset."""
        return self.is_time and not self.unit and not self.offset and (needs_zone(self.type) or bool(self.formats))

    @property
    def is_number(self) -> bool:
        return self.low is not None and not self.unit

    @property
    def is_text(self) -> bool:
        """Words that somebody wrote, links, addresses."""
        return max((self.share.get(kind, 0) for kind in ("email", "url", "long")), default=0) > 0.3

    @property
    def is_id(self) -> bool:
        return self.present > 0 and not self.is_time and not self.is_text and self.distinct > min(20, self.present / 3)


@dataclass(frozen=True)
class Group:
    """Files that belong together.

    Attributes:
        pattern: for `files` of a mapping.
        files: all of them.
        columns: of those looked at.
        delimiter: of CSV files.
        problem: why there are no columns.
    """

    pattern: str
    files: list[RawFile]
    columns: list[Looks]
    delimiter: str = ","
    problem: str = ""

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def days(self) -> list[date]:
        return sorted({file.day for file in self.files if file.day})

    def column(self, name: str) -> Looks:
        return next(column for column in self.columns if column.name == name)


def look(raw: RawFiles, progress: Progress = silent) -> list[Group]:
    """The groups of files below DATA, by pattern."""
    patterns: dict[str, list[str]] = {}
    for name in raw.names():
        if name.endswith(SUFFIXES) and not any(part.startswith((".", "_")) for part in name.split("/")):
            patterns.setdefault(pattern_of(name), []).append(name)
    found = []
    with closing(raw.connect()) as con:
        for pattern, names in sorted(patterns.items()):
            pattern = names[0] if len(names) == 1 and "{" not in pattern else pattern
            files = raw.find([pattern])
            found.append(_looked_at(raw, con, pattern, files))
            progress(len(found), len(patterns), "groups of files")
    return found


_DATE = re.compile(
    r"(?<!\d)(20\d{2}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])|20\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01]))(?!\d)"
)
_PARTS = re.compile(r"^(part|data|file|export|chunk|run|results?|output|batch)?[-_.]*$", re.IGNORECASE)
_SPLIT_DAY = (r"(year=|y=)?(20\d{2})", r"(month=|m=)?(0?[1-9]|1[0-2])", r"(day=|d=)?(0?[1-9]|[12]\d|3[01])")


def pattern_of(name: str) -> str:
    """The path of a file with what differs between files of one table taken out."""
    *directories, last = name.split("/")
    directories = _with_day(directories)
    has_day = any("{" in part for part in directories)
    parts = []
    for part in directories:
        if "{" not in part and not has_day and _DATE.search(part):
            part, has_day = _DATE.sub("{date}", part, count=1), True
        elif "=" in part and "{" not in part:
            part = part.split("=")[0] + "=*"
        parts.append(part)
    suffix = next(s for s in sorted(SUFFIXES, key=len, reverse=True) if last.endswith(s))
    stem = last.removesuffix(suffix)
    if not has_day and "{day}" in (split := _with_day([*directories, stem]))[-1]:
        return "/".join(split) + suffix
    if not has_day and _DATE.search(stem):
        return "/".join([*parts, _DATE.sub("{date}", stem, count=1) + suffix])
    core = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{20,}|(?<![a-z])[0-9a-f]{12,}|\d+|\.(snappy|gz|zstd|c)(?![a-z])", "", stem)
    if _PARTS.match(core):
        return "/".join([*parts, f"*{suffix}"])
    return "/".join([*parts, re.sub(r"\d+", "*", stem) + suffix])


def _with_day(directories: list[str]) -> list[str]:
    """Three names in a row that are year, month and day, as such."""
    for i in range(len(directories) - 2):
        found = [re.fullmatch(form, directories[i + j]) for j, form in enumerate(_SPLIT_DAY)]
        if all(found):
            names = ("{year}", "{month}", "{day}")
            day = [f"{match[1] or ''}{name}" for match, name in zip(found, names, strict=True) if match]
            return [*directories[:i], *day, *directories[i + 3 :]]
    return directories


def _looked_at(raw: RawFiles, con: duckdb.DuckDBPyConnection, pattern: str, files: list[RawFile]) -> Group:
    chosen = list(dict.fromkeys(files[round(i * (len(files) - 1) / (FILES - 1))] for i in range(FILES)))
    try:
        delimiter = delimiter_of(raw, files[0])
        with raw.reading(chosen):
            rows = " UNION ALL BY NAME ".join(
                f"(SELECT * EXCLUDE ({FILE}) FROM {raw.sql([file], delimiter)} LIMIT {ROWS})" for file in chosen
            )
            try:
                con.execute(f"CREATE OR REPLACE TEMP TABLE seen AS {rows}")
            except duckdb.BinderException:  # columns whose types have nothing in common
                con.execute(f"CREATE OR REPLACE TEMP TABLE seen AS {rows.partition(' UNION ALL')[0]}")
    except BadInput as error:
        return Group(pattern, files, [], problem=error.what)
    types = con.execute("SELECT column_name, column_type FROM (DESCRIBE seen)").fetchall()
    columns = [_looks(con, name, kind) for name, kind in types]
    seen = {column.name for column in columns}
    columns += [Looks(key, "VARCHAR", 1, 1, 1) for key in files[0].keys if key not in seen]
    return Group(pattern, files, columns, delimiter)


def delimiter_of(raw: RawFiles, file: RawFile) -> str:
    """What separates the names of a CSV file's first line."""
    if file.kind == ".parquet" or file.kind.startswith(".tsv"):
        return ","
    with raw.reading([file]), raw.open(file) as opened:
        plain = gzip.GzipFile(fileobj=opened) if file.kind.endswith(".gz") else opened
        line = plain.readline().decode("utf-8", "replace")
    return max(",;|\t", key=line.count)


def _looks(con: duckdb.DuckDBPyConnection, name: str, kind: str) -> Looks:
    column, text = quoted(name), f"{quoted(name)}::VARCHAR"
    rows, present, distinct, one = con.execute(
        f"SELECT count(*), count({column}), count(DISTINCT {text}), min({text}) FROM seen"
    ).fetchall()[0]
    hashes = con.execute(f"SELECT DISTINCT hash({text}) FROM seen WHERE {column} IS NOT NULL").fetchall()
    common: dict[str, Any] = {"name": name, "type": kind, "rows": rows, "present": present, "distinct": distinct}
    words = set(re.findall("[a-z]+", name.lower()))
    personal = words & PERSONAL or (words >= {"name"} and words <= {"name", "user", "customer", "member", "contact"})
    common |= {"words": {} if personal else _words(con, text, distinct), "ids": frozenset(row[0] for row in hashes)}
    is_number = kind in INTEGERS or kind in FLOATS or kind.startswith("DECIMAL")
    if not present or kind.startswith("TIMESTAMP") or kind in ("DATE", "BOOLEAN"):
        return Looks(**common, offset="TIME ZONE" in kind)
    if not is_number and kind != "VARCHAR":
        return Looks(**common, shape=shape(one or ""))
    number = f"TRY_CAST({column} AS DOUBLE)"
    numbers, low, high, whole = con.execute(
        f"SELECT count({number}), min({number}), max({number}), bool_and({number} = trunc({number})) FROM seen"
    ).fetchall()[0]
    if numbers == present:
        unit = next((u for u, (least, most) in EPOCH.items() if least <= low and high <= most), None)
        common |= {"low": low, "high": high, "whole": whole, "unit": unit if distinct > 1 or unit != "s" else None}
    if is_number:
        return Looks(**common)
    return Looks(**common, **_of_text(con, text, present), shape=shape(one or ""))


def _words(con: duckdb.DuckDBPyConnection, text: str, distinct: int) -> dict[str, int]:
    if not 0 < distinct <= FEW_WORDS:
        return {}
    query = f"SELECT {text} AS word, count(*) AS n FROM seen WHERE {text} IS NOT NULL GROUP BY ALL"
    found: dict[str, int] = dict(con.execute(f"{query} ORDER BY n DESC, word").fetchall())
    fits = sum(found.values()) >= WORD_ROWS * len(found)
    fits = fits and all(len(word) <= WORD_LENGTH and not re.search(r"@|://|\d{5}", word) for word in found)
    return found if fits else {}


def _of_text(con: duckdb.DuckDBPyConnection, text: str, present: int) -> dict[str, Any]:
    tests = {
        "uuid": r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F-]{20,}$",
        "hash": r"^([0-9a-f]{16}|[0-9a-f]{20}|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})$",
        "email": r"^\S+@\S+\.\S+$",
        "url": r"^([a-z]+://|www\.|/\S*$)",
        "digits": r"^\d+$",
        "iso": _PLAIN,
        "offset": _OFFSET,
    }
    counts = [f"count(*) FILTER (regexp_matches({text}, '{test}'))" for test in tests.values()]
    counts += [f"count(*) FILTER (length({text}) > 40 OR {text} LIKE '% % %')"]
    counts += [f"count(try_strptime({text}, '{form}'))" for form in FORMATS]
    row = con.execute(f"SELECT {', '.join(counts)} FROM seen").fetchall()[0]
    share = dict(zip([*tests, "long"], (n / present for n in row), strict=False))
    formats = [form for form, n in zip(FORMATS, row[len(tests) + 1 :], strict=True) if n == present]
    if share["iso"] == 1:
        formats = [""]
    elif share["digits"] == 1 and formats not in (["%Y%m%d"], ["%Y%m%d%H%M%S"]):
        formats = []
    return {
        "share": share,
        "formats": tuple(formats),
        "offset": share["offset"] == 1 or any("%z" in form for form in formats),
    }
