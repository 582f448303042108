"""The generators on a lake in which the right ads are known by construction."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from ml.candidates.ad_retrieval import AdRetrieval
from ml.candidates.arms import candidate_set
from ml.candidates.concentration import concentration
from ml.candidates.index import index_of_day
from ml.candidates.table import COLUMNS
from ml.candidates.targeted import interesting, targeted
from ml.contexts.build import build_contexts
from ml.contexts.settings import ContextSettings
from ml.errors import BadInput
from ml.lake import Lake
from tests.unit.candidates.candidate_lakes import DAY, FIRST, SMALL, TOPICS, write


@pytest.fixture(scope="module")
def retrieval(lake, towers) -> AdRetrieval:
    return index_of_day(towers, lake, build_contexts(lake, DAY, ContextSettings()), SMALL)[0]


def test_ads_of_the_users_topic_come_first(retrieval):
    found = retrieval.retrieve(retrieval.user_ids, 5).merge(retrieval.ads[["ad_id", "category"]])
    assert (found["category"] == [TOPICS[int(user[1:]) % 4] for user in found["user_id"]]).all()
    assert set(found["generator"]) == {"two_tower"}


def test_only_ads_that_may_be_shown_are_retrieved(lake, towers, retrieval):
    """adv7 has ended, `later` is yet to start; a day later it may be shown."""
    assert set(retrieval.ads["ad_id"]) == {f"a{j:03d}" for j in range(40) if j % 8 != 7} | {"cold"}
    tomorrow = build_contexts(lake, DAY + timedelta(days=1), ContextSettings())
    assert "future" in set(index_of_day(towers, lake, tomorrow, SMALL)[0].ads["ad_id"])


def test_unknown_users_get_the_recently_popular_ads_and_the_answer_says_so(lake, retrieval):
    """`silent` did not consent: neither a vector nor a say in what is popular; tomorrow does not count either."""
    found = retrieval.retrieve(np.array(["loner", "u003", "silent"]), 5)
    assert found.groupby("user_id")["generator"].first().to_dict() == {
        "loner": "popular",
        "u003": "two_tower",
        "silent": "popular",
    }
    with lake.connect(as_of=DAY) as con:
        counts = con.execute(
            "SELECT ad_id FROM conversions WHERE user_id <> 'silent' AND event_time >= $since "
            "AND advertiser_id <> 'adv7' GROUP BY ad_id ORDER BY count(*) DESC, ad_id LIMIT 1",
            {"since": DAY - timedelta(days=SMALL.popular_days - 1)},
        ).fetchall()
    assert found.loc[found["user_id"] == "loner", "ad_id"].iloc[0] == counts[0][0]
    assert "a003" not in set(found.loc[found["user_id"] == "loner", "ad_id"])


def test_save_and_load_keep_every_bit(retrieval, tmp_path):
    retrieval.save(tmp_path / "one")
    users = np.array(["u001", "loner"])
    loaded = AdRetrieval.load(tmp_path / "one")
    pd.testing.assert_frame_equal(loaded.retrieve(users, 7), retrieval.retrieve(users, 7))
    with pytest.raises(BadInput):
        AdRetrieval.load(tmp_path / "nothing")


def test_no_eligible_ad_is_an_error(towers, tmp_path):
    empty = Lake(tmp_path)
    write(empty, "users", FIRST, [{"user_id": "u", "consent": True, "updated_at": datetime(2024, 1, 1)}])
    with pytest.raises(BadInput, match="no ad may be shown"):
        index_of_day(towers, empty, build_contexts(empty, DAY, ContextSettings()), SMALL)


def test_towers_of_a_later_day_are_refused(lake, towers):
    with pytest.raises(BadInput, match="know what happened until"):
        index_of_day(towers, lake, build_contexts(lake, DAY - timedelta(days=1), ContextSettings()), SMALL)


def predictions(rows: list[tuple[str, str, int, float]], name: str = "advertiser_id") -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["user_id", name, "rank", "probability"])
    return frame.astype({"probability": "float64"})


def test_slots_are_dealt_by_highest_averages_and_ads_by_the_two_tower(retrieval):
    table = predictions(
        [("u000", "adv4", 1, 0.6), ("u000", "adv2", 2, 0.25), ("u000", "adv7", 3, 0.1), ("loner", "adv1", 1, 0.5)]
    )
    found = targeted(retrieval, table, SMALL.model_copy(update={"ads_per_advertiser": 3}))
    mine = found[found["user_id"] == "u000"]
    # 0.6, 0.6 / 2, 0.25, 0.6 / 3, 0.25 / 2, 0.25 / 3; adv7 has ended.
    assert mine["advertiser_id"].tolist() == ["adv4", "adv4", "adv2", "adv4", "adv2", "adv2"]
    assert np.allclose(mine["score"], [0.6, 0.3, 0.25, 0.2, 0.125, 0.25 / 3])
    assert mine["rank"].tolist() == [1, 2, 3, 4, 5, 6]
    ads = retrieval.ads[retrieval.ads["advertiser_id"] == "adv4"]
    best = retrieval.scores(np.repeat("u000", len(ads)), ads["ad_id"].to_numpy())
    assert mine.loc[mine["advertiser_id"] == "adv4", "ad_id"].tolist() == (
        ads.iloc[np.argsort(-best, kind="stable")[:3]]["ad_id"].tolist()
    )
    loners = retrieval.ads.loc[retrieval.ads["advertiser_id"] == "adv1", "ad_id"].tolist()[:3]
    assert found.loc[found["user_id"] == "loner", "ad_id"].tolist() == loners  # by popularity
    assert set(found["generator"]) == {"targeted"}


def test_equal_probabilities_make_a_round_robin_under_the_cap(retrieval):
    table = predictions([("u002", f"adv{k}", k + 1, 0.2) for k in range(4)])
    found = targeted(retrieval, table, SMALL.model_copy(update={"ads_per_advertiser": 2}))
    assert found["advertiser_id"].tolist() == [f"adv{k}" for k in range(4)] * 2
    capped = targeted(retrieval, table, SMALL.model_copy(update={"ads_per_advertiser": 1, "budget": 3}))
    assert capped["advertiser_id"].tolist() == ["adv0", "adv1", "adv2"]


def test_interests_propose_ads_of_their_category_or_vertical_once(retrieval):
    """V0 is the vertical of adv0 and adv4, whose ads are all about tents: both names propose the same ads."""
    table = predictions([("u001", "tents", 1, 0.6), ("u001", "V0", 2, 0.2), ("u001", "nonsense", 3, 0.1)], "interest")
    found = interesting(retrieval, table, SMALL).merge(retrieval.ads[["ad_id", "category"]])
    assert set(found["category"]) == {"tents"} and not found["ad_id"].duplicated().any()
    assert found["score"].iloc[0] == 0.6 and found["score"].is_monotonic_decreasing
    assert set(found["generator"]) == {"interest"}


def test_no_predictions_propose_nothing(retrieval):
    assert targeted(retrieval, predictions([]), SMALL).empty
    assert interesting(retrieval, predictions([], "interest"), SMALL).empty


def test_a_user_without_predictions_gets_a_full_conventional_set(retrieval):
    table = predictions([("u001", "adv2", 1, 0.5)])
    made = candidate_set(retrieval, table, np.array(["u001", "u002", "loner"]), SMALL, quota=0.5)
    assert list(made.columns) == list(COLUMNS)
    assert made.groupby("user_id").size().to_dict() == {"loner": 10, "u001": 10, "u002": 10}
    alone = retrieval.retrieve(np.array(["u002"]), 10)
    assert made.loc[made["user_id"] == "u002", "ad_id"].tolist() == alone["ad_id"].tolist()
    assert made.loc[made["user_id"] == "u001", "targeted_rank"].notna().sum() == 5
    assert made.loc[made["user_id"] == "loner", "tower_score"].isna().all()
    known = made[made["user_id"] == "u001"]
    expected = retrieval.scores(known["user_id"].to_numpy(), known["ad_id"].to_numpy())
    assert np.isfinite(expected).all() and np.allclose(known["tower_score"], expected)
    both = known.dropna(subset=["conventional_score"])
    assert np.allclose(both["conventional_score"].astype(float), both["tower_score"], atol=1e-5)


def test_concentration_of_known_shapes():
    even = pd.DataFrame({"advertiser_id": [f"a{i}" for i in range(20)] * 3})
    assert concentration(even, eligible=20).gini == pytest.approx(0)
    assert concentration(even, eligible=20).top10_share == pytest.approx(0.5)
    one = pd.DataFrame({"advertiser_id": ["a"] * 5})
    assert concentration(one, eligible=50).gini == pytest.approx(49 / 50)
    assert concentration(one, eligible=50).top10_share == 1.0
    assert concentration(one.iloc[:0], eligible=50).advertisers == 0
