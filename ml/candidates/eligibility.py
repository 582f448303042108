"""Who may be shown to whom: decided before anything is ranked, and always with the reason.

    reason                    | for       | when
    --------------------------|-----------|--------------------------------------------------------------------
    advertiser not started    | everybody | its active_from lies after the day
    advertiser ended          | everybody | its active_to lies before the day
    ad not created            | everybody | its created_at lies after the day
    budget exhausted          | everybody | price_paid since from_day, as far as known by the day, reached the budget
    excluded: <reason>        | as ruled  | a rule of the exclusions file: user, vertical, category, advertiser, ad

The contract's raw logs hold no budgets and no exclusions: they come from two optional files, see
`EligibilitySettings`. Spending is read from the logs, so a backfilled day sees what was spent by then. A file without
`from_day` counts everything ever paid.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from ml.candidates.settings import EligibilitySettings
from ml.errors import BadInput

NOT_STARTED, ENDED, NOT_CREATED = "advertiser not started", "advertiser ended", "ad not created"
EXHAUSTED, EXCLUDED = "budget exhausted", "excluded"
_MATCHED = ("vertical", "category", "advertiser_id", "ad_id")
"""What an exclusion can name of an ad."""
_SPENT = """
SELECT b.advertiser_id FROM budgets b LEFT JOIN ads a USING (advertiser_id)
LEFT JOIN impressions i ON i.ad_id = a.ad_id AND i.event_time >= coalesce(b.from_day, DATE '0001-01-01')
GROUP BY b.advertiser_id, b.budget HAVING coalesce(sum(i.price_paid), 0) >= b.budget
"""


@dataclass(frozen=True)
class Rules:
    """The two files, read; empty frames without them."""

    budgets: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame({"advertiser_id": [], "budget": [], "from_day": []})
    )
    """advertiser_id, budget, from_day (may be null)."""
    exclusions: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=["user_id", *_MATCHED, "reason"], dtype=object)
    )
    """user_id, vertical, category, advertiser_id, ad_id (null: any), reason."""

    @classmethod
    def read(cls, settings: EligibilitySettings) -> Rules:
        """The files that the settings name.

        Raises:
            BadInput: a file is missing, lacks a column, or has a rule that would bar everything.
        """
        rules = cls()
        budgets = rules.budgets if settings.budgets is None else _budgets(settings.budgets)
        exclusions = rules.exclusions if settings.exclusions is None else _exclusions(settings.exclusions)
        return cls(budgets, exclusions)


@dataclass(frozen=True)
class Barred:
    """Ads that one user must not get.

    Attributes:
        columns: shape (n,), rows of the ads, ascending.
        reasons: shape (n,), why.
    """

    columns: np.ndarray
    reasons: np.ndarray


def reasons_of(con: duckdb.DuckDBPyConnection, ads: pd.DataFrame, day: date, rules: Rules) -> pd.Series:
    """Why each ad may be shown to nobody on `day`; null where it may. The first reason of the table above counts.

    Args:
        con: a lake connection opened as of the snapshot day.
        ads: columns of `ml.candidates.ad_tokens.known_ads`.
        day: the snapshot day.
        rules: budgets and exclusions.
    """
    at = pd.Timestamp(day)
    created = pd.to_datetime(ads["created_at"]).dt.normalize()
    spent = _exhausted(con, rules.budgets) if len(rules.budgets) else np.empty(0, dtype=object)
    everybody = rules.exclusions[rules.exclusions["user_id"].isna()]
    excluded = pd.Series(pd.NA, index=ads.index, dtype=object)
    for rule in everybody.to_dict("records"):
        excluded[_matches(ads, rule) & excluded.isna()] = _said(rule)
    reasons = pd.Series(pd.NA, index=ads.index, dtype=object)
    for reason, mask in (
        (NOT_STARTED, pd.to_datetime(ads["active_from"]) > at),
        (ENDED, pd.to_datetime(ads["active_to"]) < at),
        (NOT_CREATED, created > at),
        (EXHAUSTED, ads["advertiser_id"].isin(spent)),
    ):
        reasons[mask & reasons.isna()] = reason
    return reasons.where(reasons.notna(), excluded)


def barred_of(ads: pd.DataFrame, rules: Rules) -> dict[str, Barred]:
    """What rules about single users bar, by user: rows of `ads` (columns ad_id, advertiser_id, category, vertical)."""
    mine = rules.exclusions[rules.exclusions["user_id"].notna()]
    found = {}
    for user, its in mine.groupby("user_id", sort=True):
        why = pd.Series(pd.NA, index=ads.index, dtype=object)
        for rule in its.to_dict("records"):
            why[_matches(ads, rule) & why.isna()] = _said(rule)
        columns = np.flatnonzero(why.notna().to_numpy())
        found[str(user)] = Barred(columns, why.to_numpy()[columns])
    return found


def _exhausted(con: duckdb.DuckDBPyConnection, budgets: pd.DataFrame) -> np.ndarray:
    """Advertisers who have spent their budget."""
    typed = budgets.astype({"advertiser_id": "str", "budget": "float64"})
    con.register("budgets", typed.assign(from_day=pd.to_datetime(typed["from_day"])))
    return np.asarray(con.execute(_SPENT).df()["advertiser_id"], dtype=object)


def _matches(ads: pd.DataFrame, rule: dict[Any, Any]) -> pd.Series:
    mask = pd.Series(True, index=ads.index)
    for name in _MATCHED:
        if not pd.isna(rule[name]):
            mask &= ads[name] == rule[name]
    return mask


def _said(rule: dict[Any, Any]) -> str:
    return EXCLUDED if pd.isna(rule["reason"]) else f"{EXCLUDED}: {rule['reason']}"


def _budgets(path: Path) -> pd.DataFrame:
    frame = _read(path, required=("advertiser_id", "budget"), optional=("from_day",))
    frame["budget"] = pd.to_numeric(frame["budget"], errors="coerce")
    if (
        frame["advertiser_id"].isna().any()
        or frame["advertiser_id"].duplicated().any()
        or not (frame["budget"] >= 0).all()
    ):
        raise BadInput(
            "a budget is missing, negative, or stands twice for one advertiser",
            where=str(path),
            remedy="one row an advertiser: advertiser_id, budget >= 0",
        )
    frame["from_day"] = pd.to_datetime(frame["from_day"])
    return frame


def _exclusions(path: Path) -> pd.DataFrame:
    frame = _read(path, required=(), optional=("user_id", *_MATCHED, "reason"))
    if frame[list(_MATCHED)].isna().all(axis=1).any():
        raise BadInput(
            "an exclusion names no vertical, category, advertiser or ad: it would bar everything",
            where=str(path),
            remedy=f"name at least one of {', '.join(_MATCHED)}",
        )
    return frame


def _read(path: Path, *, required: tuple[str, ...], optional: tuple[str, ...]) -> pd.DataFrame:
    if not path.exists():
        raise BadInput("no such file", where=str(path), remedy="correct candidates.eligibility in the settings")
    frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype="str")
    if missing := [name for name in required if name not in frame.columns]:
        raise BadInput(
            f"no column {', '.join(missing)}; the file has {', '.join(frame.columns)}",
            where=str(path),
            remedy=f"deliver {', '.join((*required, *optional))}",
        )
    return frame.reindex(columns=[*required, *optional])
