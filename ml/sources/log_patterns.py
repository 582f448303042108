"""FilePattern: which paths below DATA belong to a table, and which day each is of.

    FilePattern("events/dt={date}/*.parquet").match("events/dt=2026-03-04/part-0.parquet")     -> 2026-03-04
    FilePattern("orders.csv.gz"), FilePattern("logs/{year}/{month}/{day}"), FilePattern("ads/**/*.parquet")

A pattern that names a directory takes everything below it. `*` and `?` stay within a name, `**` does not. It
looks at names only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from functools import cached_property

SUFFIXES = (".parquet", ".csv", ".csv.gz", ".tsv", ".tsv.gz")
_DAY_PARTS = {
    "{date}": r"(?P<date>\d{4}-?\d{2}-?\d{2})",
    "{year}": r"(?P<year>\d{4})",
    "{month}": r"(?P<month>\d{1,2})",
    "{day}": r"(?P<day>\d{1,2})",
}
_TOKENS = re.compile(r"(\{[^}]*\}|\*\*/|\*\*|\*|\?)")
_GLOBS = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}


@dataclass(frozen=True)
class FilePattern:
    """One pattern; wrong ones raise ValueError."""

    text: str

    def __post_init__(self) -> None:
        parts = self.text.split("/")
        if not self.text.strip() or "://" in self.text or self.text.startswith("/") or ".." in parts:
            raise ValueError("must be a path relative to DATA, below it")
        named = re.findall(r"\{[^}]*\}", self.text)
        if unknown := [name for name in named if name not in _DAY_PARTS]:
            raise ValueError(f"{unknown[0]} is none of {', '.join(_DAY_PARTS)}")
        if len(named) != len(set(named)):
            raise ValueError(f"{named[0]} may stand in a pattern once")
        if named and set(named) not in ({"{date}"}, {"{year}", "{month}", "{day}"}):
            raise ValueError("give {date}, or {year}, {month} and {day}")

    @property
    def has_day(self) -> bool:
        return "{" in self.text

    @property
    def base(self) -> str:
        """The directories before the first part that is a pattern; for a plain path that path."""
        parts = self._clean.split("/")
        plain = next((i for i, part in enumerate(parts) if _TOKENS.search(part)), len(parts))
        return "/".join(parts[:plain])

    def match(self, path: str) -> re.Match[str] | None:
        """`path` relative to DATA; hidden files, and those of which a part starts with `_`, never match."""
        inside = path[len(self.base) :].split("/")
        if not path.endswith(SUFFIXES) or any(part.startswith((".", "_")) for part in inside):
            return None
        found = self._regex.fullmatch(path)
        return found if found is None or self.day(found) is not None or not self.has_day else None

    def day(self, match: re.Match[str]) -> date | None:
        """The day that a matching path names; None for a pattern without one."""
        given = match.groupdict()
        try:
            if "date" in given:
                return date.fromisoformat(given["date"])
            return date(int(given["year"]), int(given["month"]), int(given["day"])) if given else None
        except ValueError:
            return None

    @property
    def _clean(self) -> str:
        return self.text.removeprefix("./").rstrip("/")

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        parts = [_DAY_PARTS.get(t) or _GLOBS.get(t) or re.escape(t) for t in _TOKENS.split(self._clean)]
        return re.compile("".join(parts) + ("(?:/.*)?" if self._clean != "." else ".*"))
