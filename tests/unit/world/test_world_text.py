"""Text and history reveal what a user wants, before the user converts; the policy sees no more than the logs."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.world.catalogue import draw_catalogue, load_names, load_subverticals
from ml.world.events import LIFE_EVENTS
from ml.world.grammar import HEADS, MAX_WORDS, MISTYPED, PLACES, QUESTIONS, TAILS, Grammar, plain
from ml.world.policies import LoggingPolicy
from ml.world.pool import Rows
from ml.world.settings import WorldSettings
from ml.world.shard import Shard, catalogue_of
from ml.world.typos import mistyped

Query = Callable[[str], pd.DataFrame]
SUBVERTICALS = load_subverticals()


@pytest.fixture(scope="module")
def grammar() -> Grammar:
    return Grammar(SUBVERTICALS, load_names()["name"].tolist())


def nearest(grammar: Grammar, text: str) -> int:
    """Subvertical whose own words a text shares most of; the words of a query are all it has to go by."""
    words = set(text.split())
    return int(np.argmax([len(words & grammar.words(s)) / len(words) for s in range(len(SUBVERTICALS))]))


def written(grammar: Grammar, sub: int, advertiser: int, n: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    found: list[str] = grammar.queries(np.full(n, sub), np.full(n, advertiser), rng).to_pylist()
    return found


def test_queries_are_short_and_plain(grammar: Grammar) -> None:
    queries = [q for s in range(-1, len(SUBVERTICALS)) for a in (-1, 5) for q in written(grammar, s, a, 30, s + 2)]
    assert all(re.fullmatch(r"[a-z0-9]+( [a-z0-9]+)*", query) for query in queries)
    assert max(len(query.split()) for query in queries) <= MAX_WORDS
    assert 2.5 < np.mean([len(query.split()) for query in queries]) < 4.5


def test_one_want_has_many_wordings(grammar: Grammar) -> None:
    for sub in range(0, len(SUBVERTICALS), 10):
        queries = written(grammar, sub, -1, 1_000, sub)
        assert len(set(queries)) > 400
        _, often = np.unique(queries, return_counts=True)
        assert often.max() < 60, "no wording is the usual one"


def test_a_branded_query_names_its_advertiser_and_no_other_query_does(grammar: Grammar) -> None:
    name = plain(load_names()["name"][5])
    branded = np.array([name in query for query in written(grammar, 3, 5, 1_000, 1)])
    assert 0.93 < branded.mean() < 0.999, "the rest is misspelt"
    assert not any(name in query for query in written(grammar, 3, -1, 1_000, 1))


def test_words_come_from_the_vocabulary_except_for_typing_errors(grammar: Grammar) -> None:
    general = {word for text in (*HEADS, *QUESTIONS, *TAILS, *PLACES) for word in text.split()}
    general |= {"for", "under", "cheapest", "on", "a", "budget", "price", "how", "much"}
    strange = []
    for sub in range(len(SUBVERTICALS)):
        known = general | grammar.words(sub)
        queries = written(grammar, sub, -1, 40, sub)
        strange += [any(w not in known and not w.isdigit() for w in query.split()) for query in queries]
    assert abs(np.mean(strange) - MISTYPED) < 0.015


def test_words_of_a_query_give_its_subvertical_away(grammar: Grammar) -> None:
    found = np.array(
        [[nearest(grammar, text) for text in written(grammar, s, -1, 20, s)] for s in range(len(SUBVERTICALS))]
    )
    assert (found == np.arange(len(SUBVERTICALS))[:, None]).mean() > 0.8


def test_off_topic_queries_say_nothing_that_is_advertised(grammar: Grammar) -> None:
    rng = np.random.default_rng(4)
    queries = grammar.queries(np.full(2_000, -1), np.full(2_000, -1), rng).to_pylist()
    nouns = [f" {noun} " for cell in SUBVERTICALS["nouns"] for noun in cell.split("|")]
    assert len(set(queries)) > 100
    assert not [q for q in queries if any(noun in f" {q} " for noun in nouns)]


def test_titles_name_their_advertiser_and_its_goods() -> None:
    catalogue = draw_catalogue(WorldSettings(users=50, advertisers=60, ads=400), np.random.default_rng(1))
    for title, advertiser in zip(catalogue.ad_titles, catalogue.ad_advertiser, strict=True):
        assert catalogue.names[advertiser] in title
        nouns = catalogue.subverticals["nouns"][catalogue.sub[advertiser]].split("|")
        assert any(noun in title.lower() for noun in nouns)


@given(
    st.lists(st.from_regex(r"[a-z0-9]{1,6}( [a-z0-9]{1,8}){0,3}", fullmatch=True), max_size=20), st.integers(0, 2**32)
)
def test_a_mistyped_text_is_one_typing_error_away(texts: list[str], seed: int) -> None:
    found = mistyped(texts, np.random.default_rng(seed))
    assert len(found) == len(texts)
    for before, after in zip(texts, found, strict=True):
        assert after[:1] == before[:1] and abs(len(after) - len(before)) <= 1
        assert after.count(" ") == before.count(" ")
        if len(after) == len(before):
            changed = [i for i in range(len(before)) if before[i] != after[i]]
            assert len(changed) <= 1 or (len(changed) == 2 and sorted(before) == sorted(after))
            assert len(changed) < 2 or changed[1] == changed[0] + 1
        else:
            short, long = sorted((before, after), key=len)
            assert any(long[:i] + long[i + 1 :] == short for i in range(len(long)))


def test_all_kinds_of_typing_errors_happen_and_most_texts_get_one() -> None:
    found = mistyped(["hotel"] * 400, np.random.default_rng(0))
    assert {"htel", "hottel", "htoel", "hoyel", "horel"} <= set(found)
    assert np.mean([text != "hotel" for text in found]) == 1
    assert mistyped(["7 4"], np.random.default_rng(0)) == ["7 4"], "there is no letter"


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
    shard = Shard(tiny, 1, 0, catalogue_of(tiny, 1))
    people, market = shard.population, shard.market
    rng = np.random.default_rng(0)
    activity = {
        name: rng.integers(0, high, 50)
        for name, high in (("user", tiny.users), ("sub", people.interest.shape[1]), ("kind", 2), ("time", 80_000))
    }
    market.observe(activity)

    def shown() -> Rows:
        requests = market.requests(3, activity)
        everybody = np.ones((1, tiny.advertisers), dtype=np.float32)
        return market.impressions(3, requests, LoggingPolicy(), everybody, shard.market_of)

    before = shown()
    people.interest = np.roll(people.interest, 1, axis=1)
    people.catalogue.style[:] *= -1
    after = shown()
    assert len(before["ad"]) > 300
    assert all(np.array_equal(before[name], after[name], equal_nan=True) for name in before)
    market.seen = np.roll(market.seen, 1, axis=0)
    market.observe({name: column[:0] for name, column in activity.items()})
    other = shown()
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
        assert np.bincount(catalogue.sub[catalogue.active(day)], minlength=len(catalogue.subverticals)).min() >= 1
