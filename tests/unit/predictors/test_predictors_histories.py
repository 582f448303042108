"""histories: spans and weights against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.predictors import histories as module
from ml.predictors.histories import read_histories
from tests.contracts.predictor_contract import OUTSIDER, build_examples, catalogue

IDS = catalogue()["advertiser_id"].to_numpy()
PASTS = st.lists(st.lists(st.integers(0, 23), max_size=6), min_size=1, max_size=8)


@given(PASTS, st.sampled_from([None, 2.0]), st.sampled_from([1, 3, 20_000]))
@settings(max_examples=40, deadline=None)
def test_weights_before_a_target_equal_a_plain_loop(
    pasts: list[list[int]], half_life: float | None, at_once: int
) -> None:
    examples = build_examples(pasts)
    histories = read_histories(examples.contexts, IDS)
    targets, contexts = examples.targets, examples.contexts
    spans = histories.before(targets["user"].to_numpy(), targets["position"].to_numpy())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SPANS_AT_ONCE", at_once)
        got = histories.weights(spans, half_life).toarray()
    for row, (user, position) in enumerate(zip(targets["user"], targets["position"], strict=True)):
        events = contexts.events.iloc[contexts.offsets[user] : contexts.offsets[user] + position]
        past = events[(events["kind"] == "conversion") & (events["advertiser_id"] != OUTSIDER)]
        expected = np.zeros(len(IDS))
        for advertiser, moment in zip(past["advertiser_id"], past["time"], strict=True):
            age = (past["time"].max() - moment).total_seconds() / 86_400
            expected[np.flatnonzero(advertiser == IDS)] += 1.0 if half_life is None else 0.5 ** (age / half_life)
        np.testing.assert_allclose(got[row], expected, rtol=1e-9)


@given(PASTS)
@settings(max_examples=20, deadline=None)
def test_whole_histories_hold_every_catalogue_conversion(pasts: list[list[int]]) -> None:
    histories = read_histories(build_examples(pasts).contexts, IDS)
    counts = histories.weights(histories.whole()).toarray()
    np.testing.assert_array_equal(counts, [np.bincount(past, minlength=24) if past else np.zeros(24) for past in pasts])


def test_years_of_history_do_not_overflow() -> None:
    examples = build_examples([[1, 2, 3]])
    events = examples.contexts.events
    events.loc[events["advertiser_id"] == "a01", "time"] -= np.timedelta64(9000, "D")
    histories = read_histories(examples.contexts, IDS)
    weights = histories.weights(histories.whole(), half_life_days=0.5).toarray()
    assert np.isfinite(weights).all()
    assert weights[0, 3] == 1.0
