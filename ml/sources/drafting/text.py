"""The commented YAML of a drafted mapping: what was seen, what was guessed, and TODO where only a person can say.

It shows no value of any column but the few short words of those taken for kinds and flags.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date

from ml.sources.contract import TABLES
from ml.sources.drafting.blank import blank
from ml.sources.drafting.columns import WAYS_OUT, column_line, line, scalar, sure
from ml.sources.drafting.guess import TableGuess
from ml.sources.drafting.look import Group, Looks
from ml.sources.log_mapping import GUIDE
from ml.sources.mapping_errors import TODO

HEAD = f"""\
# A draft by `adprior init-mapping`. Read every line and complete those with {TODO}, which only you can know: until
# then the file is refused. Then `adprior check` tries it on the logs. All fields: {GUIDE}
# Behind each guess stands how sure it is (sure, likely, guess) and why.
"""


def text_of(name: str, groups: Sequence[Group], found: dict[str, TableGuess], first_day: date | None) -> str:
    """The whole file."""
    lines = [HEAD, f"name: {name}", *_consent(found)]
    lines.append(
        line(f"first_day: {first_day or TODO}", f"first day (UTC) to read{', as far as was seen' * bool(first_day)}")
    )
    lines.append(line("# last_day: YYYY-MM-DD", "default: the last day that the files cover"))
    lines.append(line("sparse: false", "true if days without any event are no error"))
    unused = [group for group in groups if not any(group.pattern == one.group.pattern for one in found.values())]
    lines += _time_zone(found, unused)
    for table in TABLES:
        lines += ["", *_table(table, found, _in_no_table(table, groups, found))]
    for group in unused:
        flags = {looks.name for looks in group.columns if _are_flags(looks)}
        lines += ["", "# Not used:", *_seen(group, flags)]
    return "\n".join(text.rstrip() for text in lines) + "\n"


def _consent(found: dict[str, TableGuess]) -> Iterator[str]:
    users = found.get("users")
    column = f" ({users.columns['consent'].source} looks like one)" if users and "consent" in users.columns else ""
    yield line(f"consent: {TODO}", "who has agreed to such a use of their data? One of")
    yield line("", f"  column: a column of users says it for each{column}")
    yield line("", "  list: their ids are in a file: add consent_list: {files: ..., column: ...}")
    yield line("", "  granted_by_source: all of them have; say it only if it is so")


def _time_zone(found: dict[str, TableGuess], unused: Sequence[Group]) -> Iterator[str]:
    naive = {f"{group.pattern}: {looks.name}" for group in unused for looks in group.columns if looks.is_naive}
    naive |= {
        f"{one.group.pattern}: {guess.source}"
        for one in found.values()
        for name, guess in one.columns.items()
        if one.group.column(guess.source).is_naive and name not in ("active_from", "active_to")
    }
    if naive:
        yield line(f"time_zone: {TODO}", "IANA zone (UTC, Europe/Berlin, ...) whose clock wrote the times in")
        yield from (line("", f"  {where}") for where in sorted(naive))


def _in_no_table(table: str, groups: Sequence[Group], found: dict[str, TableGuess]) -> list[str]:
    """Of a log of several tables' events: the kinds whose rows no table would read."""
    mine = found.get(table)
    if mine is None or mine.only is None:
        return []
    whole = next(group for group in groups if group.pattern == mine.group.pattern)
    read = {word for one in found.values() if one.only and one.group.pattern == whole.pattern for word in one.only[1]}
    return [word for word in whole.column(mine.only[0]).words if word not in read]


def _table(table: str, found: dict[str, TableGuess], left: list[str]) -> Iterator[str]:
    one = found.get(table)
    if one is None:
        yield from _no_table(table, found)
        return
    yield f"# {table}: {TABLES[table].description}"
    kinds = {one.columns[name].source for name in ("kind", "attribution", "consent") if name in one.columns}
    yield from _seen(one.group, kinds | ({one.only[0]} if one.only else set()))
    yield line(f"{table}:", f"{sure(one.score)}: its path and columns")
    yield f"  files: {scalar(one.group.pattern)}"
    if one.group.delimiter != ",":
        yield f"  delimiter: {scalar(one.group.delimiter)}"
    if one.only:
        only = f"  only: {{{scalar(one.only[0])}: [{', '.join(map(scalar, one.only[1]))}]}}"
        yield line(only, "other kinds are in other tables" + (f"; in none: {', '.join(left)}" if left else ""))
    if TABLES[table].kind == "register":
        yield _filed_by(table, one)
    elif one.group.days:
        yield line("  # late_days: 0", "days by which files may be later than the events in them")
    yield "  columns:"
    for column in TABLES[table].columns:
        yield from column_line(table, column, one)


def _no_table(table: str, found: dict[str, TableGuess]) -> Iterator[str]:
    key = TABLES[table].key
    origins = [name for name in ("ads", "conversions", "impressions", "activity") if name in found and name != table]
    origins = [name for name in origins if key in found[name].columns] or [n for n in origins if n == "conversions"]
    if TABLES[table].kind == "register" and origins:
        yield f"# No files look like {table}: taken from the ids in {' and '.join(origins)}."
        yield f"{table}:"
        yield f"  derive_from: [{', '.join(origins)}]"
        needed = {"advertisers": "vertical", "ads": "category"}.get(table)
        if needed:
            yield "  columns:"
            yield line(f"    {needed}: {TODO}", f"a column there; {WAYS_OUT[needed]}")
        if table == "ads" and not all("advertiser_id" in found[name].columns for name in origins):
            yield line(f"    advertiser_id: {TODO}", "a column there: whose ad it is")
    else:
        yield from blank(table)


def _filed_by(table: str, one: TableGuess) -> str:
    times = {"users": "updated_at", "ads": "created_at"}
    if one.group.days:
        return line("  filed_by: partition", "the day in a file's path is the day its rows are known")
    if one.has_todays_users:
        return line("  filed_by: static", "one row a user: today's states, taken as known from the first day on")
    if table == "advertisers":
        return line(
            "  filed_by: static", "known from the first day on; active_from says from when they may be predicted"
        )
    if times[table] in one.columns:
        return line(f"  filed_by: {times[table]}", "the day a row is known; static: all from the first day on")
    return line("  filed_by: static", "all are known from the first day on: no column says since when")


def _seen(group: Group, kinds: set[str]) -> Iterator[str]:
    days = f", days {group.days[0]}..{group.days[-1]}" if group.days else ""
    yield f"# {group.pattern}: {len(group.files):,} file{'s' * (len(group.files) != 1)}, {_bytes(group.size)}{days}"
    if group.delimiter != ",":
        yield f"#   delimiter: {scalar(group.delimiter)}"
    if group.problem:
        yield f"#   {group.problem}"
    for looks in group.columns:
        yield f"#   {looks.name:<24} {looks.type:<14.14} {describe(looks, looks.name in kinds)}"


def describe(looks: Looks, is_kind: bool) -> str:
    """A column in a few words, without anything that somebody wrote; of a column of kinds its values."""
    filled = "" if looks.present == looks.rows else f", {1 - looks.present / max(1, looks.rows):.0%} missing"
    if not looks.present:
        return "empty"
    if looks.is_time:
        zone = "" if looks.unit else ", with offset" if looks.offset else ", no offset" if looks.is_naive else ""
        said = " or ".join(f'"{form}"' for form in looks.formats if form)
        text = f"times as text{f', format {said}' if said else ''}"
        kind = f"numbers of {looks.unit} since 1970, unit: {looks.unit}" if looks.unit else text
        return f"{kind if looks.unit or looks.formats else 'times'}{zone}{filled}"
    if looks.type == "BOOLEAN":
        return f"true or false{filled}"
    if looks.words and is_kind:
        return f"{', '.join(looks.words)}{filled}"
    if looks.low is not None:
        return f"{'whole ' if looks.whole else ''}numbers, {looks.distinct:,} different{filled}"
    kind = next((k for k in ("email", "url", "uuid", "hash", "long") if looks.share.get(k, 0) > 0.5), "")
    names = {"email": "e-mail addresses", "url": "links", "uuid": "UUIDs", "hash": "hashes", "long": "phrases"}
    what = names.get(kind) or (f"like {looks.shape}" if looks.shape else "in the path")
    return f"{what}, {looks.distinct:,} different{filled}"


def _are_flags(looks: Looks) -> bool:
    """Two to four short words that come again and again: what they are for nobody has guessed, but they are no text."""
    return 2 <= len(looks.words) <= 4 and all(re.fullmatch(r"[^\W\d_]{1,12}", word) for word in looks.words)


def _bytes(size: int) -> str:
    for unit in ("bytes", "KB", "MB"):
        if size < 1024:
            return f"{size:,.0f} {unit}"
        size = size // 1024
    return f"{size:,.0f} GB"
