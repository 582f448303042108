"""Lakes in which the right ads are known by construction."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ml.candidates.settings import CandidateSettings, TowerSettings
from ml.lake import Lake
from ml.sources.contract import TABLES
from tests.lakes import ARROW

FIRST, DAY = date(2024, 1, 1), date(2024, 3, 10)
TOWER = TowerSettings(hidden=16, dimensions=8, epochs=4, batch_tokens=512, uniform_negatives=64, held_out_share=0.1)
SMALL = CandidateSettings(budget=10, quota=0.3, tower=TOWER)
TOPICS = ("tents", "coffee", "shoes", "flights")


def write(lake: Lake, table: str, day: date, rows: list[dict[str, Any]]) -> None:
    """One partition; columns that a row lacks are null."""
    schema = pa.schema([(c.name, ARROW[c.type]) for c in TABLES[table].columns])
    lake.write_day(table, day, pa.Table.from_pylist([{n: r.get(n) for n in schema.names} for r in rows], schema))


def topical_lake(root: Path, *, users: int = 120, ads_of_topic: int = 10, seed: int = 0) -> Lake:
    """People who search for one topic and convert with ads of that topic.

    User i cares for topic i % 4; ad j is about topic j % 4, of advertiser adv<j % 8>; adv7 has ended, `later` is yet to
    start. Searches use the topic's words, titles as well. `cold` is an ad about tents that nobody ever met. `loner`
    has a profile and nothing else, `silent` does not consent and converted with a003 only. What happens after DAY is
    the opposite of all this.
    """
    rng, lake = np.random.default_rng(seed), Lake(root)
    n_ads = ads_of_topic * len(TOPICS)
    advertisers = [
        {"advertiser_id": f"adv{k}", "name": f"N{k}", "vertical": f"V{k % 4}", "active_from": FIRST} for k in range(8)
    ]
    advertisers[7]["active_to"] = date(2024, 2, 1)
    advertisers += [{"advertiser_id": "later", "name": "L", "vertical": "V", "active_from": DAY + timedelta(days=1)}]
    ads = [
        {"ad_id": f"a{j:03d}", "advertiser_id": f"adv{j % 8}", "category": TOPICS[j % 4], "price": float(10 + j)}
        | {"title": f"best {TOPICS[j % 4]} number {j}", "created_at": datetime(2024, 1, 1)}
        for j in range(n_ads)
    ]
    ads += [
        {"ad_id": "cold", "advertiser_id": "adv0", "category": "tents", "title": "new tents", "price": 20.0}
        | {"created_at": datetime.combine(DAY, time())},
        {"ad_id": "future", "advertiser_id": "later", "category": "tents"},
    ]
    names = [f"u{i:03d}" for i in range(users)]
    profile = {"consent": True, "updated_at": datetime(2024, 1, 1)}
    write(lake, "advertisers", FIRST, advertisers)
    write(lake, "ads", FIRST, ads)
    people = [{"user_id": n, **profile} for n in [*names, "loner"]]
    write(lake, "users", FIRST, [*people, {"user_id": "silent", **profile, "consent": False}])
    shown, bought, looked = _events(rng, names, n_ads)
    for day in sorted({row["day"] for row in looked + bought}):
        write(lake, "activity", day, [row for row in looked if row["day"] == day])
        write(lake, "conversions", day, [row for row in bought if row["day"] == day])
        write(lake, "impressions", day, [row for row in shown if row["day"] == day])
        clicks = [{**row, "click_id": f"k{row['impression_id']}", "dwell_seconds": 9.0} for row in shown]
        write(lake, "clicks", day, [row for row in clicks if row["day"] == day])
    return lake


def _events(
    rng: np.random.Generator, names: list[str], n_ads: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """Impressions (all clicked), conversions, searches: one of each a user every tenth day."""
    shown, bought, looked = [], [], []
    days = [FIRST + timedelta(days=d) for d in range(3, 80, 6)]
    for i, user in enumerate(names):
        for n, day in enumerate(days):
            topic = i % 4 if day <= DAY else (i + 1) % 4
            ad = int(rng.integers(n_ads // 4)) * 4 + topic
            key = {"user_id": user, "ad_id": f"a{ad:03d}", "advertiser_id": f"adv{ad % 8}", "day": day}
            at = datetime.combine(day, time(10))
            looked.append(
                {"event_id": f"s{i}-{n}", "user_id": user, "event_time": at - timedelta(days=0, hours=3), "day": day}
                | {"kind": "search", "text": f"{TOPICS[topic]} to buy"}
            )
            shown.append({**key, "impression_id": f"i{i}-{n}", "request_id": f"r{i}-{n}", "event_time": at})
            shown[-1] |= {"surface": "home", "position": 0, "price_paid": 0.5}
            bought.append(
                {**key, "conversion_id": f"c{i}-{n}", "event_time": at, "kind": "buy", "attribution": "click"}
                | {"impression_id": f"i{i}-{n}"}
            )
    silent = {"user_id": "silent", "ad_id": "a003", "advertiser_id": "adv3", "kind": "buy", "attribution": "none"}
    at = datetime.combine(DAY, time(9))
    bought += [{**silent, "conversion_id": f"x{n}", "event_time": at, "day": DAY} for n in range(400)]
    return shown, bought, looked
