"""sequence: the contract, what it can learn and the cheap sources cannot, and that no read sees what comes after it."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ml.contexts.examples import all_targets
from ml.contexts.stream import PROFILE_FIELDS, TrainingExamples, UserContexts
from ml.predictors.sequence import SequencePredictor, SequenceSettings
from ml.predictors.sequence_reads import reads_of
from ml.predictors.sequence_tokens import hashed_words, windows_of
from tests.contracts.predictor_contract import (
    ADVERTISERS,
    AS_OF,
    PredictorContract,
    build_examples,
    catalogue,
    checkerboard_world,
)

QUICK = SequenceSettings(
    hidden=16, layers=1, max_events=16, epochs=12, learning_rate=0.02, dropout=0.3, batch_tokens=128, refit=False
)
NOON = datetime.combine(AS_OF, datetime.min.time()) + timedelta(hours=12)


class TestContract(PredictorContract):
    wins = ("fashion", "habit", "checkerboard")
    n_users = 160

    def make(self) -> SequencePredictor:
        return SequencePredictor(QUICK)


def test_it_learns_order_which_no_bag_of_advertisers_shows() -> None:
    """Half of the users go up the catalogue and half go down: the same set of five, another one next."""
    starts = np.random.default_rng(0).integers(ADVERTISERS, size=200)
    up = [[int(start + i) % ADVERTISERS for i in range(5)] for start in starts]
    predictor = SequencePredictor(QUICK.model_copy(update={"epochs": 20, "hidden": 32})).fit(
        build_examples(up + [row[::-1] for row in up])
    )
    following = np.concatenate([(starts + 5) % ADVERTISERS, (starts - 1) % ADVERTISERS])
    judged = build_examples(up + [row[::-1] for row in up], seed=1).contexts
    assert (predictor.probabilities(judged).argmax(axis=1) == following).mean() > 0.9


@pytest.mark.parametrize("field", ["text", "category", "region"])
def test_it_reads_search_words_categories_and_profiles(field: str) -> None:
    """Everybody visits or searches on one day and converts on the next, with the advertiser that one field names."""
    secret = np.random.default_rng(0).integers(8, size=240)
    examples = telling_world(secret, field)
    predictor = SequencePredictor(QUICK).fit(examples)
    everyone = np.arange(len(secret))
    found = predictor.log_probabilities(examples.contexts, everyone, np.ones(len(secret), dtype=int))
    assert (found.argmax(axis=1) == secret).mean() > 0.95


def telling_world(secret: np.ndarray, field: str) -> TrainingExamples:
    users = pd.DataFrame({"user_id": [f"u{i:04d}" for i in range(len(secret))], **dict.fromkeys(PROFILE_FIELDS)})
    if field == "region":
        users["region"] = [f"region {s}" for s in secret]
    rows = []
    for user, s in enumerate(secret):
        text = f"cheap item{s}" if field == "text" else None
        category = f"category {s}" if field == "category" else None
        kind = "search" if field == "text" else "visit"
        rows += [(user, NOON - timedelta(days=1), kind, text, category, None)]
        rows += [(user, NOON, "conversion", None, None, f"a{s:02d}")]
    events = pd.DataFrame(rows, columns=["user", "time", "kind", "text", "category", "advertiser_id"])
    events = events.assign(event_time=events["time"], advertiser_name=events["advertiser_id"])
    contexts = UserContexts(AS_OF, users, events, np.arange(len(secret) + 1) * 2)
    return TrainingExamples(contexts, all_targets(contexts), catalogue())


def test_a_target_never_sees_its_own_event() -> None:
    """Advertisers drawn at random cannot be foretold; a read one event too late would foretell them all."""
    rng = np.random.default_rng(0)
    predictor = SequencePredictor(QUICK).fit(build_examples(rng.integers(ADVERTISERS, size=(150, 6)).tolist()))
    assert min(predictor.trained.log_losses) > np.log(ADVERTISERS) - 0.1


@pytest.fixture(scope="module")
def fitted() -> SequencePredictor:
    examples, _ = checkerboard_world(80, np.random.default_rng(0))
    return SequencePredictor(QUICK.model_copy(update={"epochs": 3, "max_events": 4, "layers": 2})).fit(examples)


LONG = build_examples(np.random.default_rng(3).integers(ADVERTISERS, size=(3, 11)).tolist()).contexts


def at(predictor: SequencePredictor, contexts: UserContexts, user: int, positions: np.ndarray) -> np.ndarray:
    return predictor.log_probabilities(contexts, np.full(len(positions), user), positions)


@hypothesis_settings(max_examples=25, deadline=None)
@given(
    user=st.integers(0, 2),
    where=st.integers(0, 10),
    change=st.sampled_from(
        [
            {"advertiser_id": "a00", "kind": "conversion"},
            {"kind": "search", "text": "other words", "advertiser_id": None},
            {"kind": "visit", "category": "vertical 9"},
            {"time": pd.Timestamp("2026-01-01")},
        ]
    ),
)
def test_an_event_changes_nothing_that_is_read_before_it(
    fitted: SequencePredictor, user: int, where: int, change: dict[str, object]
) -> None:
    events = LONG.events.copy()
    for name, value in change.items():
        events.loc[LONG.offsets[user] + where, name] = value
    other = UserContexts(LONG.as_of, LONG.users, events, LONG.offsets)
    positions = np.arange(int(np.diff(LONG.offsets)[user]) + 1)
    before, after = (at(fitted, contexts, user, positions) for contexts in (LONG, other))
    np.testing.assert_array_equal(before[: where + 1], after[: where + 1])
    if (
        events.loc[LONG.offsets[user] + where]
        .astype(str)
        .ne(LONG.events.loc[LONG.offsets[user] + where].astype(str))
        .any()
    ):
        assert (before[where + 1 :] != after[where + 1 :]).any(), "a gap shows at the later of two events"


def test_a_position_reads_like_the_prefix_as_a_context_of_its_own(fitted: SequencePredictor) -> None:
    """Also where events fall away: which ones depends on the position alone."""
    for position in range(int(np.diff(LONG.offsets)[0]) + 1):
        prefix = UserContexts(LONG.as_of, LONG.users.iloc[:1], LONG.events.iloc[:position], np.array([0, position]))
        whole, alone = (at(fitted, contexts, 0, np.array([position])) for contexts in (LONG, prefix))
        np.testing.assert_allclose(whole, alone, atol=1e-5)


@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=5),
    max_events=st.integers(2, 12),
    seed=st.integers(0, 99),
)
def test_windows_answer_every_read_with_its_newest_events(lengths: list[int], max_events: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    user = rng.integers(len(lengths), size=30)
    position = rng.integers(np.array(lengths)[user] + 1)
    windows = windows_of(user, position, offsets, max_events)
    window = np.repeat(np.arange(len(windows.user)), np.diff(windows.starts))
    read = windows.reads
    assert sorted(read) == list(range(30))
    np.testing.assert_array_equal(windows.user[window], user[read])
    np.testing.assert_array_equal(windows.first[window] + windows.token, offsets[user[read]] + position[read])
    assert (windows.token <= max_events).all()
    assert (windows.token >= np.minimum(position[read], max_events - max_events // 2)).all()
    assert (windows.first >= offsets[windows.user]).all()
    rows = rng.permutation(len(windows.user))
    assert list(window[windows.reads_of(rows)]) == list(np.repeat(rows, np.diff(windows.starts)[rows]))


def test_targets_of_one_day_share_a_read_and_old_ones_weigh_less() -> None:
    examples = build_examples([[3, 4, 5]])
    moved = examples.contexts.events.copy()
    last = moved["time"].iloc[-1]
    moved["time"] = moved["event_time"] = moved["time"].where(moved["time"] < last - timedelta(days=1.5), last)
    contexts = UserContexts(AS_OF, examples.contexts.users, moved, examples.contexts.offsets)
    examples = TrainingExamples(contexts, all_targets(contexts), examples.catalogue)
    reads = reads_of(examples, half_life_days=2.0)
    assert list(np.diff(reads.starts)) == [1, 2]
    assert list(reads.column) == [3, 4, 5]
    np.testing.assert_allclose(reads.weight, [0.5, 1, 1])
    seen = reads.position[1] - 1
    assert moved["time"].iloc[seen] < pd.Timestamp(AS_OF), "read before the day began"


def test_words_are_hashed_alike_in_any_case_and_order() -> None:
    assert list(hashed_words("Trail running-shoes", 4096)) == list(hashed_words("shoes, RUNNING trail", 4096))[::-1]
    assert len(hashed_words("", 4096)) == 0


def test_another_seed_is_another_model_and_torchs_own_dice_are_left_alone() -> None:
    import torch

    examples, _ = checkerboard_world(40, np.random.default_rng(0))
    quick = QUICK.model_copy(update={"epochs": 1})
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    versions = {SequencePredictor(quick, seed=seed).fit(examples).model_version for seed in (0, 0, 1)}
    assert len(versions) == 2
    assert torch.rand(1) == expected


def test_refit_learns_from_the_held_out_users_too() -> None:
    """An advertiser that only held-out users convert with is foretold only after a second pass over everybody."""
    examples, _ = checkerboard_world(160, np.random.default_rng(0))
    alone, whole = (
        SequencePredictor(QUICK.model_copy(update={"refit": refit, "epochs": 2})).fit(examples)
        for refit in (False, True)
    )
    assert alone.trained.log_losses == whole.trained.log_losses
    assert alone.model_version != whole.model_version


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValidationError, match="multiple of heads"):
        SequenceSettings(hidden=10, heads=4)
