"""The card's figures are what they are called, and the page shows them all."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.evaluation.results import Interval
from ml.evaluation.snapshot_fold import snapshot_fold
from ml.lake import Lake
from ml.predictors.fold import Fold
from ml.sources.ingest import ingest
from ml.sources.world import WorldSource
from ml.world.card import Figures, ad_statistics, gini, people_statistics
from ml.world.card_page import PUBLISHED, render
from ml.world.settings import WorldSettings

ROOT = Path(__file__).parents[3]
ABOUT = {"world": "A world.", "window": "7", "log": "somebody's log"}


@pytest.fixture(scope="module")
def lake(tiny: WorldSettings, world: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    root = tmp_path_factory.mktemp("card")
    source, found = WorldSource(tiny, 7, world), Lake(root / "lake")
    ingest(source, source.window(), found, root / "quarantine", sparse=False)
    return found


@pytest.fixture(scope="module")
def fold(lake: Lake, tiny: WorldSettings) -> Fold:
    return snapshot_fold(lake, tiny.first_day + timedelta(days=45), window_days=7, min_users=0, min_conversions=3)


@pytest.fixture(scope="module")
def people(fold: Fold) -> Figures:
    return people_statistics(fold, np.random.default_rng(0))


@pytest.fixture(scope="module")
def ads(lake: Lake) -> Figures:
    return ad_statistics(lake)


def test_people_are_counted_as_their_names_say(lake: Lake, fold: Fold, people: Figures) -> None:
    with lake.connect(as_of=fold.examples.contexts.as_of) as con:
        counts = con.execute(
            """SELECT count(*) AS n FROM conversions JOIN users USING (user_id) JOIN advertisers a USING (advertiser_id)
               WHERE consent AND (active_to IS NULL OR active_to >= $day) GROUP BY user_id HAVING count(*) >= 3""",
            {"day": fold.examples.contexts.as_of},
        ).df()["n"]
    assert people["users with three conversions or more"] == len(counts)
    assert people["conversions of a user, median"] == counts.median()
    assert people["share of next advertisers that are new to the user"] == fold.is_new.mean()


def test_cooccurrence_knows_more_than_popularity_and_both_more_than_nothing(people: Figures) -> None:
    recalls = {name: value for name, value in people.items() if isinstance(value, Interval)}
    assert len(recalls) == 4 and all(0 < r.low <= r.value <= r.high < 1 for r in recalls.values())
    assert (
        recalls["recall@10 of cooccurrence, all targets"].value > recalls["recall@10 of popularity, all targets"].value
    )


def test_ads_are_counted_as_their_names_say(lake: Lake, ads: Figures) -> None:
    with lake.connect() as con:
        shown = con.sql("SELECT * FROM impressions").df()
        clicked = con.sql("SELECT DISTINCT impression_id FROM clicks").df()["impression_id"]
        conversions = con.sql("SELECT * FROM conversions").df()
    on_search = shown[shown["surface"] == "search"]
    assert ads["clicks per impression"] == pytest.approx(shown["impression_id"].isin(clicked).mean())
    assert ads["clicks per impression on search pages"] == pytest.approx(
        on_search["impression_id"].isin(clicked).mean()
    )
    credited = conversions.loc[conversions["attribution"] == "click", "impression_id"].nunique()
    assert ads["conversions credited to a click, per click"] == pytest.approx(credited / len(clicked))
    delay = conversions["known_at"] - conversions["event_time"]
    assert ads["share of conversions known within a day"] == pytest.approx((delay < timedelta(days=1)).mean())
    assert ads["share of impressions with a logged propensity"] == pytest.approx(shown["propensity"].notna().mean())


@given(st.lists(st.integers(0, 50), min_size=2, max_size=12).filter(any))
def test_gini_is_half_the_relative_mean_difference(counts: list[int]) -> None:
    values = np.array(counts, dtype=np.float64)
    slow = np.abs(values[:, None] - values).mean() / (2 * values.mean())
    assert gini(values) == pytest.approx(slow)


def test_the_page_shows_every_figure_and_every_published_one(people: Figures, ads: Figures) -> None:
    assert set(PUBLISHED) <= set(ads)
    page = render(people, ads, people, ABOUT)
    assert all(f"\n| {name} | " in page for name in (*people, *ads))
    assert all(known.says in page for known in PUBLISHED.values())
    assert "somebody's log" not in render(people, ads, None, ABOUT)


def test_the_page_in_the_docs_is_of_this_card(people: Figures, ads: Figures) -> None:
    """Not of these figures: the small world takes too long here; but no line is missing or left over."""
    page = (ROOT / "docs" / "world.md").read_text()
    rows = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| ") and line.count("|") > 2]
    assert [row for row in rows if row] == [*people, *ads]
