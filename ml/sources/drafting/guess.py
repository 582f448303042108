"""Which group of files is which contract table, and which of its columns is which contract column.

From names first, then from what the columns hold (times, numbers, kinds, unique ids), then from which columns join.
Every guess carries a score in 0..1. Consent is never guessed: a column may look like it, what it means is not said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from ml.sources.contract import TABLES, Column
from ml.sources.drafting.look import Group, Looks
from ml.sources.drafting.words import ACTIVITY, ATTRIBUTION, COLUMNS, KINDS, is_one, likeness, table_likeness, words_of

LEAST_COLUMN, LEAST_TABLE = 0.45, 0.45
"""Scores below which nothing is guessed."""
NAME_WEIGHT = 0.45
"""Of a table's name against its columns, in its score."""


@dataclass(frozen=True)
class ColumnGuess:
    """One contract column."""

    source: str
    score: float
    why: str


@dataclass(frozen=True)
class TableGuess:
    """One contract table.

    Attributes:
        only: values of a column that tell its rows from those of other tables, if a file holds several.
        columns: contract column -> guess; what was not found is not in it.
    """

    table: str
    group: Group
    score: float
    columns: dict[str, ColumnGuess] = field(default_factory=dict)
    only: tuple[str, tuple[str, ...]] | None = None

    @property
    def has_todays_users(self) -> bool:
        """Users in one file, each once: as they are now, whenever they last changed."""
        key = self.columns.get("user_id")
        if self.table != "users" or key is None or len(self.group.files) > 1:
            return False
        looks = self.group.column(key.source)
        return looks.distinct == looks.rows


def guess(groups: Sequence[Group]) -> dict[str, TableGuess]:
    """The best guess of each table that has one."""
    names = _tables(groups, {})
    keys = {
        table: found.group.column(found.columns[TABLES[table].key].source)
        for table, found in names.items()
        if TABLES[table].key in found.columns
    }
    return _tables(groups, keys)


def _tables(groups: Sequence[Group], keys: dict[str, Looks]) -> dict[str, TableGuess]:
    candidates = [one for group in groups if group.columns for one in _candidates(group, keys)]
    candidates.sort(key=lambda one: (-one.score, list(TABLES).index(one.table), one.group.pattern))
    found: dict[str, TableGuess] = {}
    for one in candidates:
        taken = any(
            other.group.pattern == one.group.pattern and not (one.only and other.only) for other in found.values()
        )
        if one.table not in found and not taken and one.score >= LEAST_TABLE:
            found[one.table] = one
    return {table: found[table] for table in TABLES if table in found}


def _candidates(group: Group, keys: dict[str, Looks]) -> Iterator[TableGuess]:
    streams = _streams(group)
    for table in TABLES:
        only = streams.get(table)
        columns = _columns(table, _part(group, only), keys)
        required = [name for name in TABLES[table].required if name not in ("updated_at", "active_from", "consent")]
        mean = sum(columns[name].score for name in required if name in columns) / len(required)
        if only:
            yield TableGuess(table, _part(group, only), min(1.0, 0.5 + 0.5 * mean), columns, only)
        elif not streams:
            score = NAME_WEIGHT * table_likeness(group.pattern, table) + (1 - NAME_WEIGHT) * mean
            yield TableGuess(table, group, score, columns)


def _streams(group: Group) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Tables whose rows a column of kinds tells apart, if there are two at least: column and values of each."""
    for looks in group.columns:
        if likeness(looks.name, COLUMNS["conversions"]["attribution"]) >= 0.5:
            continue  # click and view are what a conversion is credited to, not events
        found: dict[str, tuple[str, ...]] = {}
        for value in looks.words:
            table = next((table for table, synonyms in KINDS.items() if is_one(value, synonyms)), None)
            found |= {table: (*found.get(table, ()), value)} if table else {}
        if len(found) >= 2 and {"impressions", "clicks", "conversions"} & set(found):
            return {table: (looks.name, values) for table, values in found.items()}
    return {}


def _part(group: Group, only: tuple[str, tuple[str, ...]] | None) -> Group:
    """The group as the rows of one table of a stream see it: with their kinds only."""
    if only is None:
        return group
    columns = [
        replace(looks, words={word: n for word, n in looks.words.items() if word in only[1]})
        if looks.name == only[0]
        else looks
        for looks in group.columns
    ]
    return replace(group, columns=columns)


def _columns(table: str, group: Group, keys: dict[str, Looks]) -> dict[str, ColumnGuess]:
    """Columns of a table, each source column used once, the best pairs first."""
    pairs = []
    for place, column in enumerate(TABLES[table].columns):
        for looks in group.columns:
            score, why = _score(table, column, looks, group, keys)
            if score >= LEAST_COLUMN:
                pairs.append((-score, column.nullable, place, looks.name, column.name, why))
    found: dict[str, ColumnGuess] = {}
    for score, _, _, source, name, why in sorted(pairs):
        if name not in found and source not in {one.source for one in found.values()}:
            found[name] = ColumnGuess(source, -score, why)
    key = TABLES[table].key
    left = [looks for looks in group.columns if looks.name not in {one.source for one in found.values()}]
    left = [looks for looks in left if looks.is_id and looks.distinct == looks.rows and not looks.is_number]
    if key not in found and len(left) == 1:
        found[key] = ColumnGuess(left[0].name, 0.5, "the one column left that is unique")
    return {column.name: found[column.name] for column in TABLES[table].columns if column.name in found}


def _score(table: str, column: Column, looks: Looks, group: Group, keys: dict[str, Looks]) -> tuple[float, str]:
    """How much a column of the files looks like this contract column."""
    named = likeness(looks.name, COLUMNS[table].get(column.name, column.name))
    if looks.name == column.name:
        named = 1.0
    if not looks.present and looks.name != column.name:
        return 0.0, ""
    if column.type in ("TIMESTAMP", "DATE"):
        return _time_score(column, looks, group, named)
    if column.type in ("DOUBLE", "BIGINT"):
        return (named, "its name, and it holds numbers") if looks.is_number or looks.name == column.name else (0.0, "")
    if column.name in ("kind", "attribution"):
        return _kind_score(table, column, looks, named)
    if column.name == "consent":
        return (named, "its name; what it means is for you to say") if looks.distinct <= 12 else (0.0, "")
    if looks.is_time:
        return 0.0, ""
    if column.name == TABLES[table].key or column.references or column.name.endswith("_id"):
        return _id_score(table, column, looks, keys, named)
    if column.name == "url" and looks.share.get("url", 0) > 0.5:
        return max(named, 0.8), "it holds links"
    if column.name == "text" and looks.share.get("long", 0) > 0.3 and looks.share.get("url", 0) < 0.5:
        return max(named, 0.5), "it holds phrases"
    id_word = words_of(looks.name)[-1:] in (["id"], ["key"], ["uuid"])
    return (named * (0.5 if id_word else 1.0), "its name") if looks.type == "VARCHAR" else (0.0, "")


def _time_score(column: Column, looks: Looks, group: Group, named: float) -> tuple[float, str]:
    if not looks.is_time:
        return 0.0, ""
    only = sum(other.is_time for other in group.columns) == 1
    if column.name == "event_time" and only:
        return max(named, 0.8), "the only column with times"
    return named, "its name, and it holds times"


def _kind_score(table: str, column: Column, looks: Looks, named: float) -> tuple[float, str]:
    if not looks.words:
        return 0.0, ""
    groups = ATTRIBUTION if column.name == "attribution" else ACTIVITY if table == "activity" else {}
    known = [word for word in looks.words if any(is_one(word, synonyms) for synonyms in groups.values())]
    if groups and known:
        return max(named, 0.5 + 0.4 * len(known) / len(looks.words)), "the words it holds"
    return (named, "its name, and it holds a few words") if not groups else (named * 0.8, "its name")


def _id_score(table: str, column: Column, looks: Looks, keys: dict[str, Looks], named: float) -> tuple[float, str]:
    if looks.is_text or (looks.is_number and not looks.whole):
        return 0.0, ""
    if column.name == TABLES[table].key:
        # A register has a row for each change of an entity.
        unique = looks.distinct >= (0.98 if TABLES[table].kind == "log" else 0.5) * looks.present
        named = max(named, 0.8) if words_of(looks.name) in (["id"], ["uuid"], ["key"]) else named
        return (named, "its name, and it is unique") if unique else (named * 0.5, "its name")
    key = keys.get(column.references or "")
    if key and looks is not key and len(looks.ids) >= 3:  # events of a stream do not name themselves
        joined = len(looks.ids & key.ids) / len(looks.ids)
        if joined >= 0.5 and (named or not looks.is_number):
            return max(named, 0.6 + 0.3 * joined), f"its values are those of {column.references}.{key.name}"
    return named, "its name"
