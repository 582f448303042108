"""Who may be shown, what an open window shows, and pages that are safe whatever an id or a name holds."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.errors import BadInput
from ml.explain.consent import must_consent
from ml.explain.explanation import Context, Conversion, Event, Explanation, Forecast, Outcome
from ml.explain.outcome import outcome_of
from ml.explain.page import page_name, render
from ml.lake import Lake
from ml.timeline import Timeline, TimelineSettings
from tests.lakes import random_frames, write_lake

FIRST = date(2024, 1, 1)
DAY = FIRST + timedelta(days=10)


@pytest.fixture
def lake(tmp_path) -> Lake:
    """Users that consent, never did, withdraw later, and come later."""
    frames = random_frames(np.random.default_rng(1), first=FIRST, n_days=20)
    rows = [
        ("yes", True, 0),
        ("no", False, 0),
        ("withdrew", True, 0),
        ("withdrew", False, 15),
        ("back", False, 0),
        ("back", True, 15),
        ("late", True, 15),
    ]
    frames["users"] = pd.DataFrame(
        [
            {
                "user_id": user,
                "age_bucket": None,
                "gender": None,
                "region": None,
                "consent": consent,
                "updated_at": datetime.combine(FIRST, datetime.min.time()) + timedelta(days=after),
                "_day": FIRST + timedelta(days=after),
            }
            for user, consent, after in rows
        ]
    )
    return write_lake(frames, tmp_path / "lake")


def test_consent_counts_as_of_the_day_and_now(lake):
    must_consent(lake, "yes", DAY)
    must_consent(lake, "back", FIRST + timedelta(days=16))
    for user, words in (
        ("no", "has not consented by"),
        ("back", "has not consented by"),
        ("withdrew", "withdrawn"),
        ("late", "first known after"),
        ("who", "no user 'who'"),
    ):
        with pytest.raises(BadInput, match=words):
            must_consent(lake, user, DAY)


def test_an_open_window_shows_no_conversion(lake):
    settings = TimelineSettings(label_window_days=5, outcome_days=2)
    last = lake.days("conversions")[-1]
    with lake.connect() as con:
        users = [row[0] for row in con.execute("SELECT DISTINCT user_id FROM conversions").fetchall()]
    closed = [outcome_of(lake, Timeline(last - timedelta(days=7), settings), user, None) for user in users]
    opened = [outcome_of(lake, Timeline(last - timedelta(days=6), settings), user, None) for user in users]
    assert all(found.closed for found in closed) and any(found.conversions for found in closed)
    assert not any(found.closed or found.conversions for found in opened)


@given(st.text(min_size=1, max_size=80), st.text(min_size=1, max_size=80))
def test_page_names_are_safe_and_tell_users_apart(one, other):
    name = page_name(one)
    assert name.isascii() and "/" not in name and "\\" not in name and len(name) < 130 and name.startswith("explain-")
    assert (page_name(other) == name) == (other == one)


def test_markup_in_logs_is_text_on_the_page():
    evil = "<script>alert(1)</script>"
    moment = datetime(2024, 1, 1)
    event = Event(
        known=moment, happened=moment, kind="search", text=evil, advertiser=None, category=evil, in_prompt=True
    )
    context = Context(
        profile={"region": evil},
        events=[event],
        prompt=f"user: {evil}\n",
        n_tokens=3,
        budget=9,
        n_dropped=0,
        prompt_version="1",
        content_hash="ab",
    )
    forecast = Forecast(rank=1, advertiser_id="a", advertiser=evil, vertical=None, probability=0.5)
    happened = Conversion(advertiser_id="a", advertiser=evil, ad_id=evil, happened=moment, known=moment, is_new=True)
    outcome = Outcome(first=DAY, last=DAY, closes=DAY, closed=True, conversions=[happened])
    page = render(
        Explanation(
            user_id=evil,
            as_of=DAY,
            source="world",
            profile="tiny",
            context=context,
            predictions={"llm": [forecast]},
            interests=[],
            priors=[],
            score_formula=None,
            ranked_for=None,
            surface=None,
            candidates=[],
            outcome=outcome,
            versions=[],
            notes=[evil],
        )
    )
    assert "<script>" not in page and page.count("&lt;script&gt;") >= 6
