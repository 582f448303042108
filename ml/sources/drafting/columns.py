"""One column line of a drafted mapping: how to read it, how sure the guess is, TODO where only a person can say."""

from __future__ import annotations

from collections.abc import Iterator

import yaml  # type: ignore[import-untyped]

from ml.sources.contract import TABLES, Column
from ml.sources.drafting.guess import ColumnGuess, TableGuess
from ml.sources.drafting.look import Looks
from ml.sources.drafting.words import ACTIVITY, ATTRIBUTION, is_one, words_of
from ml.sources.mapping_errors import TODO
from ml.sources.rules import FALSE, TRUE

WAYS_OUT = {
    "kind": "if all are of one kind: {constant: visit}",
    "attribution": "if you do not attribute: {constant: none}",
    "surface": "if there is but one: {constant: main}",
    "position": "if there is but one: {constant: 0}",
    "request_id": "if each impression is its own request: the column of impression_id",
    "vertical": "if you have none: {constant: all}",
    "category": "if you have none: {constant: all}",
    "name": "if you have none: the column of the id",
}
"""What to write for a required column that the files do not have."""
MAKE_A_ROW = ("user_id", "event_time", "ad_id", "advertiser_id", "impression_id", "text")
SCALES = {"cent": "0.01", "micro": "0.000001", "milli": "0.001", "ms": "0.001"}


def way_out(table: str, column: Column) -> str:
    """What to write for that column of that table if there is none."""
    said = WAYS_OUT.get(column.name, "name one")
    return said.replace("visit", "purchase") if table == "conversions" else said


def line(left: str, note: str) -> str:
    """A line with its comment."""
    return f"{left:<44}  # {note}"


def column_line(table: str, column: Column, one: TableGuess) -> Iterator[str]:
    """The line of one contract column; none for one that may be missing and is."""
    guess = one.columns.get(column.name)
    if column.name == "updated_at" and guess is not None and one.has_todays_users:
        note = f"and not {scalar(guess.source)}, which may be later than the events of a user"
        yield line(f"    {column.name}: {{filing_day: true}}", note)
    elif guess is not None:
        value, note = _value(column, one.group.column(guess.source), guess)
        yield line(f"    {'# ' if column.name == 'consent' else ''}{column.name}: {value}", note)
    elif column.name in ("updated_at", "active_from"):
        yield line(f"    {column.name}: {{filing_day: true}}", "no column looks like it: the day a row is filed under")
    elif column.name == "consent":
        yield line("    # consent:", "with `consent: column`: the column that says it")
    elif column.name == TABLES[table].key and TABLES[table].kind == "log":
        names = [scalar(one.columns[name].source) for name in MAKE_A_ROW if name in one.columns]
        yield line(
            f"    {column.name}: {TODO}", f"none is unique; those that make a row: {{hash: [{', '.join(names)}]}}?"
        )
    elif not column.nullable:
        yield line(f"    {column.name}: {TODO}", f"no column looks like it; {way_out(table, column)}")
    else:
        yield f"    {column.name}: null"


def _value(column: Column, looks: Looks, guess: ColumnGuess) -> tuple[str, str]:
    """How to read a column, and what to say of the guess."""
    source, note = scalar(looks.name), f"{sure(guess.score)}: {guess.why}"
    if column.type in ("TIMESTAMP", "DATE"):
        return _time(source, looks, note)
    if column.type in ("DOUBLE", "BIGINT"):
        return _number(column, source, looks, note)
    if column.name == "consent":
        plain = looks.type == "BOOLEAN" or all(word.lower() in (*TRUE, *FALSE) for word in looks.words)
        values = ", ".join(f"{scalar(word)}: {TODO}" for word in looks.words)
        return source if plain else f"{{column: {source}, values: {{{values}}}}}", f"with `consent: column`; {note}"
    if column.allowed and not set(looks.words) <= set(column.allowed):
        groups = ATTRIBUTION if column.name == "attribution" else ACTIVITY
        meant = {scalar(w): next((k for k, known in groups.items() if is_one(w, known)), TODO) for w in looks.words}
        if column.name == "attribution" and looks.present < looks.rows:
            meant["null"] = "none"
        return f"{{column: {source}, values: {{{', '.join(f'{k}: {v}' for k, v in meant.items())}}}}}", note
    return source, note


def _time(source: str, looks: Looks, note: str) -> tuple[str, str]:
    if looks.unit:
        return f"{{column: {source}, unit: {looks.unit}}}", f"{note}; numbers of {looks.unit} since 1970"
    if len(looks.formats) > 1:
        said = " or ".join(f'"{form}"' for form in looks.formats)
        return f"{{column: {source}, format: {TODO}}}", f"{note}; {said}? All times seen fit both"
    if looks.formats and looks.formats[0]:
        return f'{{column: {source}, format: "{looks.formats[0]}"}}', note
    return source, note


def _number(column: Column, source: str, looks: Looks, note: str) -> tuple[str, str]:
    scale = next((SCALES[word] for word in words_of(looks.name) if word in SCALES), None)
    if scale:
        return f"{{column: {source}, scale: {scale}}}", f"{note}; the name says the unit"
    if column.name in ("value", "price", "price_paid", "bid") and looks.whole and (looks.high or 0) >= 100:
        return source, f"{note}; whole numbers: if they are cents, {{column: {source}, scale: 0.01}}"
    return source, note


def sure(score: float) -> str:
    """A score in words."""
    return "sure" if score >= 0.9 else "likely" if score >= 0.65 else "guess"


def scalar(value: object) -> str:
    """A value as YAML reads it back, inside braces too."""
    text: str = yaml.safe_dump([value], default_flow_style=True, width=1000, allow_unicode=True).strip()
    return text[1:-1]
