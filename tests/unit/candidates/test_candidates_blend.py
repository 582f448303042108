"""The blend: budget, quota, provenance and order, as properties over random proposals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.candidates.ad_retrieval import COLUMNS as PROPOSAL
from ml.candidates.blend import COLUMNS, blend, slots_of

USERS, ADS = ["u0", "u1", "u2"], [f"a{i}" for i in range(14)]


def owner(ad: str) -> str:
    return f"adv{int(ad[1:]) % 4}"


def proposals(ads_by_user: dict[str, list[str]], generator: str) -> pd.DataFrame:
    rows = [
        (user, ad, owner(ad), rank, 1.0 / rank, generator)
        for user, ads in ads_by_user.items()
        for rank, ad in enumerate(ads, start=1)
    ]
    frame = pd.DataFrame(rows, columns=PROPOSAL)
    return frame.astype({"rank": "int64", "score": "float64"})


lists = st.fixed_dictionaries({user: st.lists(st.sampled_from(ADS), unique=True, max_size=14) for user in USERS})
budgets = st.integers(1, 12)
quotas = st.floats(0, 1)


@settings(max_examples=25, deadline=None)
@given(conventional=lists, targeted=lists, budget=budgets, quota=quotas)
def test_the_set_is_what_the_definition_says(conventional, targeted, budget, quota):
    """Against the definition written with Python lists."""
    blended = blend(proposals(conventional, "two_tower"), proposals(targeted, "targeted"), budget=budget, quota=quota)
    assert list(blended.columns) == COLUMNS
    slots = slots_of(budget, quota)
    for user in USERS:
        base = conventional[user][: budget - slots]
        won = [ad for ad in targeted[user] if ad not in base][:slots]
        rest = [ad for ad in conventional[user][len(base) :] if ad not in won]
        expected = (base + won + rest)[:budget]
        mine = blended[blended["user_id"] == user]
        assert set(mine["ad_id"]) == set(expected)
        assert len(mine) == len(expected) == len(set(mine["ad_id"]))
        assert mine["rank"].tolist() == list(range(1, len(expected) + 1))


@settings(max_examples=25, deadline=None)
@given(conventional=lists, targeted=lists, interest=lists, budget=budgets, quota=quotas, share=quotas)
def test_three_generators_as_the_definition_says(conventional, targeted, interest, budget, quota, share):
    blended = blend(
        *(proposals(conventional, "two_tower"), proposals(targeted, "targeted"), proposals(interest, "interest")),
        budget=budget,
        quota=quota,
        interest_quota=share,
    )
    slots = slots_of(budget, quota)
    more = min(slots_of(budget, share), budget - slots)
    for user in USERS:
        base = conventional[user][: budget - slots - more]
        won = [ad for ad in targeted[user] if ad not in base][:slots]
        also = [ad for ad in interest[user] if ad not in [*base, *won]][:more]
        rest = [ad for ad in conventional[user][len(base) :] if ad not in [*won, *also]]
        mine = blended[blended["user_id"] == user]
        assert set(mine["ad_id"]) == set((base + won + also + rest)[:budget])
        assert mine["rank"].tolist() == list(range(1, len(mine) + 1))
        for row in mine.itertuples():
            asked = {"two_tower": conventional, "targeted": targeted, "interest": interest}
            assert row.generators == "+".join(name for name, ads in asked.items() if row.ad_id in ads[user])


@settings(max_examples=25, deadline=None)
@given(conventional=lists, targeted=lists, budget=budgets, quota=quotas)
def test_provenance_is_true_and_explicit(conventional, targeted, budget, quota):
    left, right = proposals(conventional, "popular"), proposals(targeted, "targeted")
    blended = blend(left, right, budget=budget, quota=quota)
    said = {(r.user_id, r.ad_id): (r.rank, r.score) for r in left.itertuples()}
    bid = {(r.user_id, r.ad_id): (r.rank, r.score) for r in right.itertuples()}
    for row in blended.itertuples():
        key = (row.user_id, row.ad_id)
        names = row.generators.split("+")
        for name, source, rank, score in (
            ("popular", said, row.conventional_rank, row.conventional_score),
            ("targeted", bid, row.targeted_rank, row.targeted_score),
        ):
            assert (name in names) == (key in source)
            if key in source:
                assert (rank, score) == source[key]
            else:
                assert pd.isna(rank) and pd.isna(score)
        assert row.advertiser_id == owner(row.ad_id)


@settings(max_examples=20, deadline=None)
@given(conventional=lists, targeted=lists, budget=budgets)
def test_quota_zero_is_the_conventional_generator_alone(conventional, targeted, budget):
    left = proposals(conventional, "two_tower")
    blended = blend(left, proposals(targeted, "targeted"), budget=budget, quota=0)
    for user in USERS:
        assert blended.loc[blended["user_id"] == user, "ad_id"].tolist() == conventional[user][:budget]


@settings(max_examples=20, deadline=None)
@given(conventional=lists, targeted=lists, budget=budgets, quota=quotas, seed=st.integers(0, 99))
def test_row_order_of_the_input_does_not_matter(conventional, targeted, budget, quota, seed):
    left, right = proposals(conventional, "two_tower"), proposals(targeted, "targeted")
    rng = np.random.default_rng(seed)
    once = blend(left, right, budget=budget, quota=quota)
    shuffled = blend(
        left.iloc[rng.permutation(len(left))], right.iloc[rng.permutation(len(right))], budget=budget, quota=quota
    )
    pd.testing.assert_frame_equal(once, shuffled)


def test_prefixes_keep_the_mix():
    """With disjoint proposals every prefix of the set holds its share of won slots, to within one ad."""
    left = proposals({"u0": [f"a{i}" for i in range(100)]}, "two_tower")
    right = proposals({"u0": [f"a{i}" for i in range(100, 200)]}, "targeted")
    blended = blend(left, right, budget=100, quota=0.3)
    won = blended["targeted_rank"].notna().to_numpy()
    assert won.sum() == 30
    assert np.all(np.abs(np.cumsum(won) - 0.3 * np.arange(1, 101)) <= 1)


def test_an_ad_proposed_twice_is_refused():
    """A duplicate inside one generator is a bug upstream: it must not be hidden by de-duplication."""
    left = proposals({"u0": ["a1", "a2"]}, "two_tower")
    with pytest.raises(pd.errors.MergeError):
        blend(pd.concat([left, left]), proposals({"u0": ["a3"]}, "targeted"), budget=3, quota=0.5)


@pytest.mark.parametrize(("budget", "quota", "slots"), [(100, 0.3, 30), (5, 0.5, 3), (10, 0.04, 0), (7, 1.0, 7)])
def test_slots_round_halves_up(budget, quota, slots):
    assert slots_of(budget, quota) == slots
