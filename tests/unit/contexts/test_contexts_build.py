"""Contexts by construction: what of each kind of event is taken, from where, and what never is."""

from datetime import date, datetime

import pandas as pd
import pytest

from ml.contexts.build import build_contexts
from ml.contexts.render import event_lines, profile_lines
from ml.contexts.settings import ContextSettings
from ml.contexts.stream import EVENT_FIELDS, PROFILE_FIELDS
from ml.sources.contract import TABLES
from tests.lakes import Frames, temporary_lake

AS_OF = date(2024, 1, 10)


def table(name: str, *rows: dict) -> pd.DataFrame:
    """Rows of a contract table; what they lack is null; filed under the day of their `event_time`, or 1 January."""
    frame = pd.DataFrame(list(rows)).reindex(columns=[*TABLES[name].column_names, "_day"]).astype(object)
    frame = frame.where(frame.notna(), None)
    filed = [row.get("_day", row.get("event_time", datetime(2024, 1, 1)).date()) for row in map(dict, rows)]
    return frame.assign(_day=filed)


def at(day: int, hour: int = 12) -> datetime:
    return datetime(2024, 1, day, hour)


def world(*, activity=(), conversions=(), users=()) -> Frames:
    nike = {"advertiser_id": "nike", "name": "Nike", "vertical": "shoes", "active_from": date(2023, 1, 1)}
    later = {"advertiser_id": "late", "name": "Late", "vertical": "x", "active_from": AS_OF, "_day": date(2024, 1, 11)}
    user = {"user_id": "u", "age_bucket": "25-34", "region": "CA", "consent": True, "updated_at": at(1)}
    people = users or (user,)
    return {
        "advertisers": table("advertisers", nike, later),
        "ads": table("ads", {"ad_id": "ad", "advertiser_id": "nike", "category": "running shoes"}),
        "users": table("users", *people),
        **({"activity": table("activity", *activity)} if activity else {}),
        **({"conversions": table("conversions", *conversions)} if conversions else {}),
    }


def act(n: int, day: int, kind: str, **fields) -> dict:
    return {"event_id": f"e{n}", "user_id": "u", "event_time": at(day), "kind": kind} | fields


def conv(n: int, day: int, advertiser: str = "nike", **fields) -> dict:
    about = {"conversion_id": f"c{n}", "user_id": "u", "advertiser_id": advertiser, "event_time": at(day)}
    return {**about, "kind": "purchase", "attribution": "none", **fields}


def built(frames: Frames, **settings):
    with temporary_lake(frames) as lake:
        return build_contexts(lake, AS_OF, ContextSettings(**settings))


def test_each_kind_of_event_shows_its_own_fields_only():
    everything = {"text": "Trail Shoes", "url": "https://secret.example", "category": "tents", "advertiser_id": "nike"}
    contexts = built(
        world(
            activity=[
                act(1, 2, "search", **everything),
                act(2, 3, "visit", **everything),
                act(3, 4, "save", **everything),
            ],
            conversions=[conv(1, 5, ad_id="ad"), conv(2, 6), conv(3, 7, ad_id="no-such-ad")],
        )
    )
    assert profile_lines(contexts) == ["user: 25-34, CA\n"]
    assert event_lines(contexts) == [
        "search: trail shoes\n",
        "visit: Nike, tents\n",
        "save: Nike, tents\n",
        "bought: Nike, running shoes\n",
        "bought: Nike, shoes\n",
        "bought: Nike, shoes\n",
    ]


def test_no_column_but_the_allowed_ones_leaves():
    contexts = built(world(activity=[act(1, 2, "visit", url="https://secret.example/1")]))
    assert contexts.users.columns.tolist() == ["user_id", *PROFILE_FIELDS]
    assert contexts.events.columns.tolist() == ["user", "time", "event_time", *EVENT_FIELDS]
    assert "secret" not in contexts.events.to_csv()


def test_an_advertiser_registered_later_has_no_name_yet():
    events = built(world(conversions=[conv(1, 2, "late")])).events
    assert events["advertiser_id"].tolist() == ["late"]
    assert events["advertiser_name"].isna().all()


def test_the_order_is_by_when_it_was_known_then_by_id():
    contexts = built(
        world(
            activity=[act(2, 5, "visit"), act(1, 5, "save")],
            conversions=[conv(0, 2, known_at=at(8)), conv(9, 5), conv(3, 9, known_at=at(11))],
        )
    )
    assert contexts.events["kind"].tolist() == ["conversion", "save", "visit", "conversion"]  # c9, e1, e2, then c0
    assert contexts.events["event_time"].tolist() == [at(5), at(5), at(5), at(2)]


def test_nothing_is_known_before_it_happens():
    events = built(world(conversions=[conv(1, 8, known_at=at(2))])).events
    assert events["time"].tolist() == [at(8)]


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ([(1, True)], True),
        ([(1, False)], False),
        ([(1, True), (9, False)], False),
        ([(1, False), (9, True)], True),
        ([(1, True), (11, False)], True),  # withdrawn after as_of
        ([(1, False), (11, True)], False),  # given after as_of
        ([(11, True)], False),
    ],
)
def test_the_newest_word_on_consent_by_as_of_counts(changes, shown):
    users = [
        {"user_id": "u", "consent": consent, "updated_at": at(day), "_day": date(2024, 1, day)}
        for day, consent in changes
    ]
    contexts = built(world(users=users, activity=[act(1, 5, "visit")]))
    assert contexts.user_ids.tolist() == (["u"] if shown else [])
    assert len(contexts.events) == int(shown)


@pytest.mark.parametrize(("moment", "active"), [(at(10, 23), True), (at(8, 0), True), (at(7, 23), False)])
def test_active_means_an_event_in_the_last_days(moment, active):
    frames = world(activity=[act(1, moment.day, "visit", event_time=moment), act(2, 2, "visit")])
    contexts = built(frames, active_days=3)
    assert len(contexts.events) == (2 if active else 0)  # all of the history, or nothing


def test_text_is_scrubbed_and_capped():
    text = "one ann@example.org two https://x.example three 555 123 4567 four"
    events = built(world(activity=[act(1, 5, "search", text=text)]), max_text_words=3).events
    assert events["text"].tolist() == ["one two three"]


def test_a_lake_with_nobody_gives_empty_contexts():
    contexts = built(world())
    assert len(contexts) == len(contexts.events) == 0
    assert contexts.offsets.tolist() == [0]
