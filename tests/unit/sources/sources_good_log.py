"""A good log of twelve days, and faults to plant in it: each a change of the files and what must be said of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa

from ml.contexts.settings import ContextSettings
from ml.sources.check import CheckPlan
from ml.sources.contract import TABLES
from ml.sources.inspection.splits import SplitSettings
from ml.sources.inspection.volumes import VolumeLimits
from ml.timeline import TimelineSettings
from tests.unit.sources.sources_small_logs import Logs, rewrite, write_logs

FIRST = date(2026, 3, 1)
DAYS = [FIRST + timedelta(days=i) for i in range(12)]
USERS, BRANDS = 12, 6

PLAN = CheckPlan(
    TimelineSettings(label_window_days=2, outcome_days=1, ranker_days=2, calibration_days=1, snapshot_every_days=1),
    SplitSettings(ContextSettings(), min_users=0, min_conversions=0, max_users=None, negatives=5),
    VolumeLimits(0.02, 0.3, 4.0, sparse=False),
    today=DAYS[-1],
    top_k=5,
)


def good_logs() -> Logs:
    """Every user does one thing of each kind on every day, with a brand that depends on user and day."""
    logs: Logs = {name: {day: [] for day in DAYS} for name in TABLES}
    logs["advertisers"][FIRST] = [
        {"advertiser_id": f"a{i}", "name": f"Brand {i}", "vertical": "shoes", "active_from": "2026-01-01"}
        for i in range(BRANDS)
    ]
    logs["ads"][FIRST] = [
        {"ad_id": f"x{i}", "advertiser_id": f"a{i}", "category": "trail", "price": f"{10 + i}.5"} for i in range(BRANDS)
    ]
    logs["users"][FIRST] = [
        {"user_id": f"u{i}", "region": "north", "consent": str(i != 0).lower(), "updated_at": f"{FIRST} 00:00:00"}
        for i in range(USERS)
    ]
    for d, day in enumerate(DAYS):
        for i in range(USERS):
            _user_day(logs, day, f"u{i}", (i + d) % BRANDS, f"{d}-{i}", hour=8 + i % 10)
    return logs


def _user_day(logs: Logs, day: date, user: str, brand: int, n: str, hour: int) -> None:
    logs["activity"][day].append(
        {"event_id": f"e{n}", "user_id": user, "event_time": f"{day} {hour:02d}:00:00", "advertiser_id": f"a{brand}"}
        | {"text": "mail ann@example.org", "url": "https://example.org/secret", "kind": "visit"}
    )
    logs["impressions"][day].append(
        {"impression_id": f"i{n}", "request_id": f"r{n}", "user_id": user, "ad_id": f"x{brand}", "surface": "feed"}
        | {"event_time": f"{day} {hour:02d}:10:00", "position": "0"}
    )
    logs["clicks"][day].append(
        {"click_id": f"c{n}", "impression_id": f"i{n}", "event_time": f"{day} {hour:02d}:11:00", "dwell_seconds": "3"}
    )
    logs["conversions"][day].append(
        {"conversion_id": f"v{n}", "user_id": user, "advertiser_id": f"a{brand}", "ad_id": f"x{brand}"}
        | {"event_time": f"{day} {hour:02d}:30:00", "known_at": f"{day} {hour:02d}:40:00", "kind": "purchase"}
        | {"value": "20", "impression_id": f"i{n}", "attribution": "click"}
    )


def write_good(root: Path) -> Path:
    return write_logs(good_logs(), root)


@dataclass(frozen=True)
class Fault:
    """Something wrong with the log.

    Attributes:
        plant: changes the files under a root; may return another plan.
        column: that the problem must name.
        says: words of its `what`, `where` and `example`, all of them.
    """

    plant: Callable[[Path, CheckPlan], CheckPlan | None]
    column: str | None
    says: tuple[str, ...]


def part(root: Path, table: str, day: date) -> Path:
    return root / table / f"date={day}" / "part-0.parquet"


def _set(table: str, day: date, column: str, value: str, rows: int = 1) -> Callable[[Path, CheckPlan], None]:
    """Overwrite a column of the first rows of a day."""

    def plant(root: Path, plan: CheckPlan) -> None:
        def change(found: pa.Table) -> pa.Table:
            values = [value] * rows + found[column].to_pylist()[rows:]
            return found.set_column(found.schema.get_field_index(column), column, pa.array(values, pa.string()))

        rewrite(part(root, table, day), change)

    return plant


def _no_column(root: Path, plan: CheckPlan) -> None:
    rewrite(part(root, "impressions", DAYS[1]), lambda rows: rows.drop_columns(["surface"]))


def _unreadable(table: str, day: date) -> Callable[[Path, CheckPlan], None]:
    def plant(root: Path, plan: CheckPlan) -> None:
        path = part(root, table, day)
        path.write_bytes(path.read_bytes()[:100])

    return plant


def _future(root: Path, plan: CheckPlan) -> None:
    later = DAYS[-1] + timedelta(days=400)
    path = part(root, "activity", later)
    path.parent.mkdir()
    shutil.copy(part(root, "activity", DAYS[0]), path)


def _empty_day(root: Path, plan: CheckPlan) -> None:
    for table in ("activity", "impressions", "clicks", "conversions"):
        rewrite(part(root, table, DAYS[2]), lambda rows: rows.slice(0, 0))


def _no_consent(root: Path, plan: CheckPlan) -> None:
    _set("users", FIRST, "consent", "false", USERS)(root, plan)


def _too_early(root: Path, plan: CheckPlan) -> CheckPlan:
    return replace(plan, as_of=DAYS[2])


def _copy(source: str, target: str) -> Callable[[Path, CheckPlan], None]:
    def plant(root: Path, plan: CheckPlan) -> None:
        shutil.copytree(root / source, root / target)

    return plant


FAULTS = {
    "column": Fault(_no_column, "surface", ("no column 'surface'", f"date={DAYS[1]}")),
    "type": Fault(
        _set("activity", DAYS[3], "event_time", "yesterday", 2),
        "event_time",
        ("not a TIMESTAMP", "in 2 rows", f"activity, date={DAYS[3]}", "'yesterday'"),
    ),
    "allowed": Fault(
        _set("conversions", DAYS[4], "attribution", "magic"), "attribution", ("not one of click", "'v4-0'", "'magic'")
    ),
    "key": Fault(
        _set("conversions", DAYS[5], "conversion_id", "v5-7"),
        "conversion_id",
        ("conflicts", f"date={DAYS[5]}", "'v5-7'"),
    ),
    "reference": Fault(
        _set("conversions", DAYS[6], "advertiser_id", "a-nobody"),
        "advertiser_id",
        ("not found in advertisers", "'a-nobody'", f"conversions, date={DAYS[6]}"),
    ),
    "future": Fault(_future, "date", ("future", str(DAYS[-1]))),
    "empty": Fault(_empty_day, "date", (f"empty day {DAYS[2]}",)),
    "consent": Fault(_no_consent, "consent", ("none of 12 users consents", "users")),
    "unreadable": Fault(_unreadable("clicks", DAYS[7]), None, ("unreadable file", f"clicks/date={DAYS[7]}")),
    "another": Fault(_unreadable("conversions", DAYS[8]), None, ("unreadable file", f"conversions/date={DAYS[8]}")),
    "early": Fault(_too_early, "date", ("too early", str(DAYS[2]))),
    "table": Fault(_copy("clicks", "click"), None, ("'click' is no table",)),
    "partition": Fault(_copy(f"ads/date={FIRST}", "ads/date=today"), None, ("not a day", "ads/date=today")),
}
