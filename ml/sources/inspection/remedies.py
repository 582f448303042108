"""What to do about rows that break the contract, by the reason that `ml.sources.rules` gives.

Also how a value is shown: never one that could be a person's own words or address.
"""

from __future__ import annotations

import re

from ml.contexts.scrub import PRIVATE_WORD, looks_private
from ml.sources.contract import PRIVATE, TABLES, Column, Table

SHOWN_CHARACTERS = 32
"""A longer value, or one of several words, is described and not shown."""
TIME_WORD = re.compile(
    r"[\d:./,+\-tz]+|(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|mon|tue|wed|thu|fri|sat|sun)[a-z]*[.,]?"
    r"|am|pm|utc|gmt|[cemp][ds]?t|cest"
)
PHONE = re.compile(r"\+[\d\s().\-/]{7,}")
_TYPES = {
    "TIMESTAMP": "write moments as 2026-03-04 09:30:00 (UTC) or with an offset, 2026-03-04T09:30:00+02:00; no numbers",
    "DATE": "write days as 2026-03-04",
    "BOOLEAN": "write true or false (also yes/no, 1/0); anything else is not taken for consent",
    "DOUBLE": "write plain numbers with a decimal point, no currency signs or thousands separators; null where unknown",
    "BIGINT": "write whole numbers",
}


TODAYS = (
    "If these are today's states, one row each, and you know no older ones, a mapping says so with "
    "`filed_by: static` and `updated_at: {filing_day: true}`"
)
"""What a file of current states needs: its changes are later than the events that name its rows."""


def remedy_of(table: str, reason: str) -> str:
    """What the owner of the log should do about rows set aside for `reason`."""
    column, _, said = reason.partition(": ")
    contract = next((c for c in TABLES[table].columns if c.name == column), None)
    if said == "missing":
        deliver = f"deliver a value of {column} in every row; look for the export or join that lost it"
        if contract and (contract.allowed or contract.type == "BOOLEAN"):
            meant = "false" if contract.type == "BOOLEAN" else contract.allowed[-1]
            deliver += f"; where nothing said has a meaning, a mapping says so: values: {{null: {meant}}}"
        return deliver
    if said.startswith("not a finite"):
        return "deliver null where a number is unknown, never NaN or infinity"
    if said.startswith("not a ") and contract:
        return _TYPES.get(contract.type, f"deliver {column} as {contract.type}")
    if said.startswith("not one of") and contract:
        return f"translate the values to {', '.join(contract.allowed)}"
    if said.startswith(("below", "above")):
        return f"{column} must not be {said}: correct the export, or its unit; returns and refunds are no {table}"
    return _about_rows(table, column, said)


def _about_rows(table: str, column: str, said: str) -> str:
    """Remedies of reasons that concern more than the value itself."""
    if said == "not as the mapping says":
        return f"correct how {table}.columns.{column} is mapped (format, unit, time_zone, values), or these values"
    if said == "value not in the mapping":
        return f"list what that value means under {table}.columns.{column}.values"
    if said == "not on its filing day":
        return "file each row under the UTC day of its event_time: convert local times to UTC before you partition"
    if said == "after its filing day":
        return (
            f"a row cannot be delivered before its own change: correct {column}, or file it under a later day. {TODAYS}"
        )
    if said == "before event_time":
        return "known_at is when an event became known, never before it happened: correct it, or leave it null"
    if said.startswith("not found in "):
        other = said.removeprefix("not found in ")
        return f"deliver the row of {other} with that {column}, no later than the day of the event"
    if said == "delivered twice":
        derive = "; ids out of a table of ads are taken by `derive_from: ads`" if table == "advertisers" else ""
        return f"deliver each row once; the first is used, nothing else is lost{derive}"
    if said.startswith("conflicts"):
        return f"give every row of {table} its own {column}; the first one was used"
    return f"correct {column} in {table}"


def shown(table: Table, column: str, value: str | None) -> str:
    """A value as it may be shown: not a person's words, nor anything like an address."""
    if value is None:
        return "null"
    contract = next((c for c in table.columns if c.name == column), None)
    if column in PRIVATE or _address(value, contract):
        return "(not shown: it may be private)"
    is_time = contract is not None and contract.type in ("TIMESTAMP", "DATE") and _time_like(value)
    if len(value) > SHOWN_CHARACTERS or (len(value.split()) > 1 and not is_time):
        return f"(not shown: text of {len(value)} characters)"
    return repr(value)


def _time_like(value: str) -> bool:
    """Is every word a number as times have them, or the name of a month, day or zone?"""
    return not value.startswith("+") and all(TIME_WORD.fullmatch(word.lower()) for word in value.split())


def _address(value: str, contract: Column | None) -> bool:
    """Does the value look like an e-mail address, a URL or a phone number?"""
    if contract is None or contract.type == "VARCHAR":
        return bool(PRIVATE_WORD.search(value.lower()) or PHONE.fullmatch(value))
    numeric = contract.type in ("TIMESTAMP", "DATE", "DOUBLE", "BIGINT")
    words = value.lower().split()
    if numeric:  # digits and decimal points are their business
        return any("@" in word or "://" in word or word.startswith("www.") for word in words)
    return looks_private(value)
