"""Both generators on a checkerboard lake, in which the right ads are known by construction."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ml.candidates.ad_retrieval import AdRetrieval, top_columns
from ml.candidates.concentration import concentration
from ml.candidates.matrix_factorization import fit
from ml.candidates.settings import CandidateSettings
from ml.candidates.targeted import targeted
from ml.errors import BadInput
from ml.lake import Lake
from ml.sources.contract import TABLES

ARROW = {"VARCHAR": pa.string(), "DOUBLE": pa.float64(), "BIGINT": pa.int64(), "BOOLEAN": pa.bool_()}
ARROW |= {"TIMESTAMP": pa.timestamp("us"), "DATE": pa.date32()}
DAY = date(2024, 3, 10)
SMALL = CandidateSettings(factors=2, iterations=15, budget=10)


def write(lake: Lake, table: str, day: date, rows: list[dict]) -> None:
    schema = pa.schema([(c.name, ARROW[c.type]) for c in TABLES[table].columns])
    lake.write_day(table, day, pa.Table.from_pylist([{n: r.get(n) for n in schema.names} for r in rows], schema))


@pytest.fixture(scope="module")
def checkerboard(tmp_path_factory) -> Lake:
    """20 users x 20 ads: even users convert with even ads, odd with odd; user i has not met ad i.

    Advertiser adv<k> owns ads with number % 10 == k; adv9 ended before the day. `loner` consents but did
    nothing, `silent` does not consent and converted with a3 only. Ad a98 is new, a97's advertiser is yet to start.
    """
    lake = Lake(tmp_path_factory.mktemp("lake"))
    first = date(2024, 1, 1)
    ended = {9: date(2024, 2, 1)}
    advertisers = [
        {"advertiser_id": f"adv{k}", "name": f"N{k}", "vertical": "v", "active_from": first, "active_to": ended.get(k)}
        for k in range(10)
    ]
    advertisers += [{"advertiser_id": "later", "name": "L", "vertical": "v", "active_from": DAY + timedelta(days=1)}]
    ads = [{"ad_id": f"a{i:02d}", "advertiser_id": f"adv{i % 10}", "category": "c"} for i in range(20)]
    ads += [
        {"ad_id": "a98", "advertiser_id": "adv8", "category": "c"},
        {"ad_id": "a97", "advertiser_id": "later", "category": "c"},
    ]
    names = [f"u{i:02d}" for i in range(20)]
    users = [
        {"user_id": n, "consent": n != "silent", "updated_at": datetime(2024, 1, 1)}
        for n in [*names, "loner", "silent"]
    ]
    write(lake, "advertisers", first, advertisers)
    write(lake, "ads", first, ads)
    write(lake, "users", first, users)
    conversions = [
        {"user_id": names[u], "ad_id": f"a{a:02d}", "advertiser_id": f"adv{a % 10}", "day": date(2024, 2, 20)}
        for u in range(20)
        for a in range(20)
        if u % 2 == a % 2 and u != a
    ]
    conversions += [{"user_id": "silent", "ad_id": "a03", "advertiser_id": "adv3", "day": DAY}] * 50
    conversions += [{"user_id": "u00", "ad_id": "a01", "advertiser_id": "adv1", "day": DAY + timedelta(days=1)}] * 50
    for day in sorted({c["day"] for c in conversions}):
        rows = [
            {**c, "conversion_id": f"{day}-{j}", "event_time": datetime.combine(day, time(9)), "kind": "buy"}
            | {"attribution": "none"}
            for j, c in enumerate(conversions)
            if c["day"] == day
        ]
        write(lake, "conversions", day, rows)
    return lake


@pytest.fixture(scope="module")
def retrieval(checkerboard) -> AdRetrieval:
    return fit(checkerboard, DAY, SMALL, seed=3)


def test_the_unseen_ad_of_the_users_own_colour_comes_first(retrieval):
    """Of ads the user has not met, the one of the user's colour scores highest."""
    for u in range(20):
        user, own = f"u{u:02d}", f"a{u:02d}"
        if u % 10 == 9:
            continue  # adv9 is not active: its ads cannot be shown
        found = retrieval.retrieve(np.array([user]), 100).set_index("ad_id")["score"]
        other_colour = [ad for ad in found.index if int(ad[1:]) < 20 and int(ad[1:]) % 2 != u % 2]
        assert found[own] > found[other_colour].max() + 0.1


def test_only_ads_of_active_advertisers_are_retrieved(retrieval):
    assert set(retrieval.ads["ad_id"]) == {f"a{i:02d}" for i in range(20) if i % 10 != 9} | {"a98"}


def test_unknown_users_get_the_recently_popular_ads_and_the_answer_says_so(retrieval):
    """`silent` did not consent: neither a vector nor a say in what is popular; tomorrow does not count either."""
    found = retrieval.retrieve(np.array(["loner", "u03", "silent"]), 5)
    assert found.groupby("user_id")["generator"].first().to_dict() == {
        "loner": "popular",
        "u03": "factorisation",
        "silent": "popular",
    }
    loner = found[found["user_id"] == "loner"]
    assert loner["ad_id"].tolist() == ["a00", "a01", "a02", "a03", "a04"]  # nine conversions each, ties by id
    assert loner["score"].tolist() == [9 * SMALL.conversion_weight] * 5


def test_save_and_load_keep_every_bit_and_fits_are_equal(checkerboard, retrieval, tmp_path):
    retrieval.save(tmp_path / "one")
    fit(checkerboard, DAY, SMALL, seed=3, threads=2).save(tmp_path / "two")
    for file in sorted(p.name for p in (tmp_path / "one").iterdir()):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file
    users = np.array(["u01", "loner"])
    loaded = AdRetrieval.load(tmp_path / "one")
    pd.testing.assert_frame_equal(loaded.retrieve(users, 7), retrieval.retrieve(users, 7))
    with pytest.raises(BadInput):
        AdRetrieval.load(tmp_path / "nothing")


def test_no_eligible_ad_is_an_error(tmp_path):
    with pytest.raises(BadInput, match="no ad may be shown"):
        fit(Lake(tmp_path), DAY, SMALL, seed=0)


def predictions(rows: list[tuple[str, str, int, float]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["user_id", "advertiser_id", "rank", "probability"])


def test_slots_are_dealt_by_highest_averages_and_ads_by_the_users_vector(retrieval):
    table = predictions(
        [("u02", "adv4", 1, 0.6), ("u02", "adv8", 2, 0.25), ("u02", "adv9", 3, 0.1), ("loner", "adv1", 1, 0.5)]
    )
    found = targeted(retrieval, table, SMALL)
    mine = found[found["user_id"] == "u02"]
    # 0.6, 0.6 / 2, 0.25, 0.25 / 2, 0.25 / 3; adv9 is not active.
    assert mine["advertiser_id"].tolist() == ["adv4", "adv4", "adv8", "adv8", "adv8"]
    assert np.allclose(mine["score"], [0.6, 0.3, 0.25, 0.125, 0.25 / 3])
    assert mine["rank"].tolist() == [1, 2, 3, 4, 5]
    assert mine["ad_id"].tolist()[-1] == "a98"  # nobody has met it: after the advertiser's known ads
    assert found.loc[found["user_id"] == "loner", "ad_id"].tolist() == ["a01", "a11"]
    assert set(found["generator"]) == {"targeted"}


def test_equal_probabilities_make_a_round_robin_under_the_cap(retrieval):
    table = predictions([("u02", f"adv{k}", k + 1, 0.2) for k in range(4)])
    found = targeted(retrieval, table, SMALL)
    assert found["advertiser_id"].tolist() == [f"adv{k}" for k in range(4)] * 2
    capped = targeted(retrieval, table, SMALL.model_copy(update={"ads_per_advertiser": 1, "budget": 3}))
    assert capped["advertiser_id"].tolist() == ["adv0", "adv1", "adv2"]


def test_no_predictions_propose_nothing(retrieval):
    assert targeted(retrieval, predictions([]), SMALL).empty


def test_top_columns_equals_a_stable_sort():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 6, (40, 25)).astype(np.float32)
    for n in (0, 1, 7, 25):
        assert (top_columns(scores, n) == np.argsort(-scores, axis=1, kind="stable")[:, :n]).all()


def test_concentration_of_known_shapes():
    even = pd.DataFrame({"advertiser_id": [f"a{i}" for i in range(20)] * 3})
    assert concentration(even, eligible=20).gini == pytest.approx(0)
    assert concentration(even, eligible=20).top10_share == pytest.approx(0.5)
    one = pd.DataFrame({"advertiser_id": ["a"] * 5})
    assert concentration(one, eligible=50).gini == pytest.approx(49 / 50)
    assert concentration(one, eligible=50).top10_share == 1.0
    assert concentration(one.iloc[:0], eligible=50).advertisers == 0
