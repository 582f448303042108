"""Text and history reveal what a user wants, before the user converts; the policy sees no more than the logs."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from ml.world.catalogue import draw_catalogue, load_names, load_subverticals
from ml.world.clock import Chance, Stage
from ml.world.grammar import MAX_WORDS, Grammar, plain
from ml.world.market import Market
from ml.world.population import LIFE_EVENTS, Population
from ml.world.settings import WorldSettings

Query = Callable[[str], pd.DataFrame]
SUBVERTICALS = load_subverticals()


@pytest.fixture(scope="module")
def grammar() -> Grammar:
    return Grammar(SUBVERTICALS, load_names()["name"].tolist())


def nearest(grammar: Grammar, text: str) -> int:
    """Subvertical whose own words a text shares most of; the words of a query are all it has to go by."""
    words = set(text.split())
    return int(np.argmax([len(words & grammar.words(s)) / len(words) for s in range(len(SUBVERTICALS))]))


def test_queries_are_short_plain_and_worded_in_many_ways(grammar: Grammar) -> None:
    rng = np.random.default_rng(2)
    queries = [grammar.query(s, a, rng) for s in range(len(SUBVERTICALS)) for a in (-1, 5) for _ in range(30)]
    assert all(re.fullmatch(r"[a-z0-9]+( [a-z0-9]+)*", query) for query in queries)
    assert max(len(query.split()) for query in queries) <= MAX_WORDS
    assert len({grammar.query(3, -1, rng) for _ in range(300)}) > 60


def test_words_of_a_query_give_its_subvertical_away(grammar: Grammar) -> None:
    rng = np.random.default_rng(3)
    asked = np.repeat(np.arange(len(SUBVERTICALS)), 20)
    found = np.array([nearest(grammar, grammar.query(int(s), -1, rng)) for s in asked])
    assert (found == asked).mean() > 0.8


def test_searches_of_the_last_days_say_what_is_converted_with(query: Query, grammar: Grammar) -> None:
    """Nearest subvertical of the last search before a conversion, against the advertiser's: far above chance."""
    rows = query(
        """SELECT c.conversion_id, a.category, s.text FROM conversions c
           JOIN (SELECT DISTINCT advertiser_id, category FROM ads) a USING (advertiser_id)
           JOIN activity s ON s.user_id = c.user_id AND s.kind = 'search' AND s.event_time < c.event_time
                AND s.event_time > c.event_time - INTERVAL 3 DAY
           QUALIFY row_number() OVER (PARTITION BY c.conversion_id ORDER BY s.event_time DESC) = 1"""
    )
    found = SUBVERTICALS["subvertical"].to_numpy()[[nearest(grammar, text) for text in rows["text"]]]
    shuffled = np.random.default_rng(0).permutation(found)
    assert len(rows) > 300
    assert (found == rows["category"]).mean() > 0.45
    assert (found == rows["category"]).mean() > 2 * (shuffled == rows["category"]).mean()


def test_what_a_user_wants_is_the_user_s_own_and_lasts(query: Query) -> None:
    """Conversions weeks apart, with different advertisers, are of one category far oftener than two users' are."""
    pairs = """
        WITH c AS (SELECT DISTINCT c.user_id, c.advertiser_id, a.category, c.event_time::DATE AS day
                   FROM conversions c JOIN ads a USING (advertiser_id))
        SELECT x.category = y.category AS same FROM c x JOIN c y
        ON x.advertiser_id <> y.advertiser_id AND y.day > x.day + 14 AND {who}"""
    own, others = (query(pairs.format(who=f"x.user_id {sign} y.user_id"))["same"] for sign in ("=", "<>"))
    assert len(own) > 300
    assert own.mean() > 1.25 * others.mean()


def test_columns_agree_with_the_text_and_name_only_part_of_it(query: Query) -> None:
    rows = query("SELECT * FROM activity")
    known = rows.groupby("kind")["category"].apply(lambda column: column.notna().mean())
    assert known["search"] < 0.3 < known["visit"] < 0.9
    search = rows["kind"] == "search"
    assert rows.loc[search, "text"].notna().all() and rows.loc[~search, "text"].isna().all()
    assert rows.loc[search, "advertiser_id"].isna().all()
    sections = rows.loc[~search, "url"].str.extract(r"^https://example\.com/([a-z-]+)/\d{5}$")[0]
    assert (sections == rows.loc[~search, "category"].str.replace(" ", "-").fillna("p")).all()


def test_the_policy_reads_no_latent(tiny: WorldSettings) -> None:
    """Other interests, the same logged activity: the same ads at the same prices."""
    chance = Chance(1)
    people = Population(tiny, draw_catalogue(tiny, chance.of(Stage.CATALOGUE)), chance)
    market = Market(people, chance)
    rng = np.random.default_rng(0)
    activity = {
        name: rng.integers(0, high, 50)
        for name, high in (("user", tiny.users), ("sub", people.interest.shape[1]), ("kind", 2), ("time", 80_000))
    }
    market.observe(activity)
    before = market.impressions(3, market.requests(3, activity))
    people.interest = np.roll(people.interest, 1, axis=1)
    people.brand_liking = -people.brand_liking
    after = market.impressions(3, market.requests(3, activity))
    assert all((before[name] == after[name]).all() for name in before)
    market.seen = np.roll(market.seen, 1, axis=0)
    other = market.impressions(3, market.requests(3, activity))
    assert len(other["ad"]) != len(before["ad"]) or (other["ad"] != before["ad"]).any()


def test_shipped_names_and_vocabulary_are_usable() -> None:
    names = load_names()
    assert len(names) >= 2_000 and names["name"].is_unique and names["vertical"].notna().all()
    assert names["name"].map(plain).is_unique, "or a query that names one would name two"
    assert names["vertical"].nunique() == 15
    assert names.groupby("subvertical").size().min() >= 3
    assert set(names["subvertical"]) == set(SUBVERTICALS["subvertical"])
    assert SUBVERTICALS["subvertical"].str.split().str.len().max() <= 3
    assert all(plain(name) for name in names["name"])
    assert {name for subs in LIFE_EVENTS.values() for name in subs} <= set(SUBVERTICALS["subvertical"])


@pytest.mark.parametrize("n", [12, 40, 77, 500, 2000])
def test_a_smaller_world_takes_advertisers_from_everywhere(n: int) -> None:
    settings = WorldSettings(advertisers=n, ads=n + 100)
    catalogue = draw_catalogue(settings, np.random.default_rng(n))
    assert len(catalogue.names) == n == len(set(catalogue.names))
    assert np.bincount(catalogue.sub).min() >= 2
    per_sub = np.bincount(catalogue.sub, np.exp(catalogue.brand))
    assert np.allclose(per_sub, 1.0)
    assert set(catalogue.ad_advertiser) == set(range(n))
    assert catalogue.subverticals["vertical"].nunique() >= min(12, n // 4)
    for day in range(settings.total_days):
        assert catalogue.by_sub[:, catalogue.active(day)].any(axis=1).all()
