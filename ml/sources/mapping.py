"""PurchaseMapping: which file and column of a purchase log means what; one small YAML file (see mappings/).

It only names things. What they become in the contract is said in `ml.sources.purchases`; how to write one in
docs/guides/purchase-logs.md.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ml.sources.mapping_errors import load_model

AMAZON14 = Path(__file__).parent / "mappings" / "amazon14.yaml"
"""The mapping of the amazon14 layout, which the sample has as well."""
SAMPLE = Path(__file__).parent / "sample"
"""A small synthetic log in that layout: the default DATA of SOURCE=purchases."""
GUIDE = "docs/guides/purchase-logs.md"
FILE = r"\.(parquet|csv|csv\.gz)$"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class EventsMapping(_Part):
    """The purchases: one row a purchased item."""

    file: str = Field(pattern=FILE)
    """file name inside DATA, ending in .parquet, .csv or .csv.gz"""
    user: str
    """column with the user's id"""
    item: str
    """column with the item's id"""
    date: str | None = None
    """column with the (UTC) day of the purchase; either this or `timestamp`"""
    timestamp: str | None = None
    """column with the moment of the purchase, UTC unless it carries an offset; either this or `date`"""
    sequence: str | None = None
    """column with the order of a user's purchases within a `date`; without it the item id decides"""
    advertiser: str | None = None
    """column with the brand's name, null where there is none; without it the item's brand counts"""
    value: str | None = None
    """column with the money paid"""

    @model_validator(mode="after")
    def _one_time(self) -> Self:
        if (self.date is None) == (self.timestamp is None):
            raise ValueError("give exactly one of `date` and `timestamp`")
        if self.timestamp is not None and self.sequence is not None:
            raise ValueError("`sequence` goes with `date`; a `timestamp` orders the purchases itself")
        return self


class ItemsMapping(_Part):
    """The items: one row each."""

    file: str = Field(pattern=FILE)
    """file name inside DATA, ending in .parquet, .csv or .csv.gz"""
    item: str
    """column with the item's id"""
    advertiser: str
    """column with the brand's name, null where there is none"""
    category: str
    """column with the category, or with a list of categories (then see `leaf`)"""
    leaf: Literal["rarest", "first", "last"] = "rarest"
    """which category of a list is the item's own: `rarest` (fewest items, but at least `min_items`; for lists in no
    reliable order), `first` or `last`"""
    min_items: int = Field(10, ge=1)
    """items a category needs to be chosen by `rarest`; if none of the list has that many, its commonest is taken"""
    vertical: str | None = None
    """column with the item's broad line of business; without it the commonest category of its list"""


class UsersMapping(_Part):
    """The users, if known: one row each."""

    file: str = Field(pattern=FILE)
    """file name inside DATA, ending in .parquet, .csv or .csv.gz"""
    user: str
    """column with the user's id"""
    age_bucket: str | None = None
    """column with the age bucket"""
    gender: str | None = None
    """column with the gender"""
    region: str | None = None
    """column with the region"""
    consent: str | None = None
    """column with the user's consent (true or false); without it all have consented, as the top-level `consent` says"""


class PurchaseMapping(_Part):
    """The whole mapping file."""

    name: str = Field(pattern=r"^[a-z0-9_-]+$")
    """name of the log in reports: lower-case letters, digits, _ and -"""
    consent: Literal["granted_by_source"]
    """must be `granted_by_source`: the users behind this log have agreed to such a use; if they have not, leave the
    log alone"""
    first_day: date
    """first daily partition, YYYY-MM-DD; history before it is filed under it as one backlog partition"""
    last_day: date | None = None
    """last daily partition; purchases after it are filed under it and go to quarantine. Default: day of the last one"""
    sparse: bool = False
    """are days without any purchase legitimate?"""
    events: EventsMapping
    """the purchases: `file`, `user`, `item`, `date` or `timestamp`, ..."""
    items: ItemsMapping
    """the items: `file`, `item`, `advertiser`, `category`, ..."""
    users: UsersMapping | None = None
    """the users, if there is such a file: `file`, `user`, ...; without it profiles are null"""

    @model_validator(mode="after")
    def _days_in_order(self) -> Self:
        if self.last_day is not None and self.last_day < self.first_day:
            raise ValueError("last_day lies before first_day")
        return self


def load_mapping(path: Path) -> PurchaseMapping:
    """Read a mapping file.

    Raises:
        BadInput: no such file, no YAML, or a wrong field (see `ml.sources.mapping_errors`).
    """
    return load_model(path, PurchaseMapping, GUIDE)
