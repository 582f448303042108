"""The raw-log contract: every table and column Adprior reads, in one place.

Times are UTC, stored as naive TIMESTAMP. A table is a *log* (one row an event, filed under the
UTC day of `event_time`) or a *register* (one row per change of an entity, filed under the day it
was delivered; the newest row per key on or before a day is the entity on that day).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

ColumnType = Literal["VARCHAR", "DOUBLE", "BIGINT", "BOOLEAN", "TIMESTAMP", "DATE"]


@dataclass(frozen=True)
class Column:
    """One column: its DuckDB type and the rules each value must keep."""

    name: str
    type: ColumnType
    nullable: bool = False
    """May the value, or the whole column, be missing?"""
    allowed: tuple[str, ...] = ()
    """If given, the only values allowed."""
    minimum: float | None = None
    maximum: float | None = None
    references: str | None = None
    """Table whose key this value must be found in (when not null)."""


@dataclass(frozen=True)
class Table:
    """One table of the contract."""

    name: str
    kind: Literal["log", "register"]
    columns: tuple[Column, ...]
    description: str
    key: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", self.columns[0].name)

    @property
    def column_names(self) -> list[str]:
        return [column.name for column in self.columns]

    @property
    def required(self) -> list[str]:
        """Columns a delivery may not lack."""
        return [column.name for column in self.columns if not column.nullable]

    @property
    def sort_order(self) -> list[str]:
        """Order of rows inside a day partition: by user, then time, then key, as far as it has them."""
        return [name for name in ("user_id", "event_time") if name in self.column_names] + [self.key]


PRIVATE = frozenset({"text", "url"})
"""Columns with a person's own words: never in a log line, a message or metadata."""

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        Table(
            "advertisers",
            "register",
            (
                Column("advertiser_id", "VARCHAR"),
                Column("name", "VARCHAR"),
                Column("vertical", "VARCHAR"),
                Column("active_from", "DATE"),
                Column("active_to", "DATE", nullable=True),
            ),
            "Who advertises, in which vertical, and from when to when.",
        ),
        Table(
            "ads",
            "register",
            (
                Column("ad_id", "VARCHAR"),
                Column("advertiser_id", "VARCHAR", references="advertisers"),
                Column("title", "VARCHAR", nullable=True),
                Column("category", "VARCHAR"),
                Column("price", "DOUBLE", nullable=True, minimum=0),
                Column("created_at", "TIMESTAMP", nullable=True),
            ),
            "The ads, each of one advertiser.",
        ),
        Table(
            "users",
            "register",
            (
                Column("user_id", "VARCHAR"),
                Column("age_bucket", "VARCHAR", nullable=True),
                Column("gender", "VARCHAR", nullable=True),
                Column("region", "VARCHAR", nullable=True),
                Column("consent", "BOOLEAN"),
                Column("updated_at", "TIMESTAMP"),
            ),
            "Profiles and consent; the newest row of a user counts.",
        ),
        Table(
            "activity",
            "log",
            (
                Column("event_id", "VARCHAR"),
                Column("user_id", "VARCHAR", references="users"),
                Column("event_time", "TIMESTAMP"),
                Column("kind", "VARCHAR", allowed=("search", "visit", "save")),
                Column("text", "VARCHAR", nullable=True),
                Column("url", "VARCHAR", nullable=True),
                Column("category", "VARCHAR", nullable=True),
                Column("advertiser_id", "VARCHAR", nullable=True, references="advertisers"),
            ),
            "Searches, visits and saves: intent before it becomes a conversion.",
        ),
        Table(
            "impressions",
            "log",
            (
                Column("impression_id", "VARCHAR"),
                Column("request_id", "VARCHAR"),
                Column("user_id", "VARCHAR", references="users"),
                Column("ad_id", "VARCHAR", references="ads"),
                Column("event_time", "TIMESTAMP"),
                Column("surface", "VARCHAR"),
                Column("position", "BIGINT", minimum=0),
                Column("bid", "DOUBLE", nullable=True, minimum=0),
                Column("price_paid", "DOUBLE", nullable=True, minimum=0),
                Column("propensity", "DOUBLE", nullable=True, minimum=0, maximum=1),
            ),
            "Ads shown.",
        ),
        Table(
            "clicks",
            "log",
            (
                Column("click_id", "VARCHAR"),
                Column("impression_id", "VARCHAR", references="impressions"),
                Column("event_time", "TIMESTAMP"),
                Column("dwell_seconds", "DOUBLE", nullable=True, minimum=0),
            ),
            "Clicks on impressions.",
        ),
        Table(
            "conversions",
            "log",
            (
                Column("conversion_id", "VARCHAR"),
                Column("user_id", "VARCHAR", references="users"),
                Column("advertiser_id", "VARCHAR", references="advertisers"),
                Column("ad_id", "VARCHAR", nullable=True, references="ads"),
                Column("event_time", "TIMESTAMP"),
                Column("known_at", "TIMESTAMP", nullable=True),
                Column("kind", "VARCHAR"),
                Column("value", "DOUBLE", nullable=True, minimum=0),
                Column("impression_id", "VARCHAR", nullable=True, references="impressions"),
                Column("attribution", "VARCHAR", allowed=("click", "view", "none")),
            ),
            "Conversions, on-site or off-site (impression_id is null), with the time each became known.",
        ),
    )
}
