"""blend: worlds in which what each source knows, and so what their blend must do, is known by construction."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.errors import BadInput
from ml.predictors.blend import Blended, BlendSettings, best_pair, cross_validated, fit_blend, fit_pool
from ml.predictors.cooccurrence import Cooccurrence
from ml.predictors.fold import Fold
from ml.predictors.pooling import FORMS, Form, Pasts, Pool, features_of, likeliest_weights, softmax
from ml.predictors.repeat_last import RepeatLast
from tests.contracts.predictor_contract import ADVERTISERS, PredictorContract, build_examples, habit_world

SETTINGS = BlendSettings(splits=3)
N = 400
EQUAL = Pool(Form(), np.full((2, 2), 0.5), short=3, floor=1e-4)


class TestContract(PredictorContract):
    wins = ("fashion", "habit", "checkerboard")

    def make(self) -> Blended:
        return Blended(RepeatLast(), Cooccurrence(), EQUAL)


def fold_of(column: np.ndarray, past: list[list[int]] | None = None) -> Fold:
    examples = build_examples(past or [[int(i) % ADVERTISERS] for i in range(len(column))])
    ids = np.append(examples.catalogue["advertiser_id"].to_numpy(), "not in the catalogue")
    labels = pd.DataFrame({"user_id": examples.contexts.user_ids, "advertiser_id": ids[column]})
    return Fold(examples, examples.contexts, labels, np.ones(len(labels), dtype=bool))


def pasts_of(fold: Fold) -> Pasts:
    return Pasts.of(fold.contexts, fold.examples.catalogue["advertiser_id"].to_numpy())


def drawn(probabilities: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One column a row."""
    return (rng.random((len(probabilities), 1)) > probabilities.cumsum(axis=1)[:, :-1]).sum(axis=1)


def sharp(rng: np.random.Generator, n: int = N) -> np.ndarray:
    return softmax(rng.normal(scale=2.0, size=(n, ADVERTISERS)))


def recall_at_1(probabilities: np.ndarray, column: np.ndarray) -> float:
    return float((probabilities.argmax(axis=1) == column).mean())


def halves_world(
    n: int, rng: np.random.Generator, width: int = 6, height: int = 6
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One source knows the target up to `width` advertisers, the other up to 24 / `height`."""
    column = rng.integers(ADVERTISERS, size=n)
    everyone = np.arange(ADVERTISERS)
    rows = np.where(everyone // width == column[:, None] // width, 1.0, 0.01)
    columns = np.where(everyone % height == column[:, None] % height, 1.0, 0.01)
    return column, rows / rows.sum(axis=1, keepdims=True), columns / columns.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("form", list(FORMS))
def test_two_halves_of_the_truth_make_the_whole(form: str) -> None:
    column, first, second = halves_world(N, np.random.default_rng(0))
    fold = fold_of(column)
    blend = fit_blend(first, second, fold, BlendSettings(form=form, splits=3))
    whole = blend.pool.combine(
        first, second, Pasts.of(fold.contexts, fold.examples.catalogue["advertiser_id"].to_numpy())
    )
    assert recall_at_1(first, column) < 0.3
    assert recall_at_1(second, column) < 0.4
    assert recall_at_1(whole, column) == 1.0
    np.testing.assert_allclose(whole.sum(axis=1), 1)


@pytest.mark.parametrize("form", list(FORMS))
def test_noise_gets_no_weight(form: str) -> None:
    rng = np.random.default_rng(1)
    truth, noise = sharp(rng, 1500), sharp(rng, 1500)
    column = drawn(truth, rng)
    pasts = Pasts(np.zeros(truth.shape, dtype=bool), np.full(len(truth), 2))
    weights = fit_pool(truth, noise, pasts, column, FORMS[form], SETTINGS).weights[0]
    assert weights[1] < 0.08 * weights[0]
    if not FORMS[form].standardized:
        assert weights[0] == pytest.approx(1, abs=0.1), "the truth is calibrated as it is"


def test_two_equal_sources_are_the_single_one() -> None:
    rng = np.random.default_rng(2)
    truth = sharp(rng, 1500)
    pasts = Pasts(np.zeros(truth.shape, dtype=bool), np.full(len(truth), 2))
    pool = fit_pool(truth, truth, pasts, drawn(truth, rng), FORMS["pool"], SETTINGS)
    assert pool.weights[0, 0] == pytest.approx(pool.weights[0, 1], abs=1e-3)
    combined = pool.combine(truth, truth, pasts)
    np.testing.assert_allclose(combined, truth, atol=0.02)
    np.testing.assert_array_equal(np.argsort(combined), np.argsort(truth))


def test_the_weights_that_made_the_targets_are_found() -> None:
    rng = np.random.default_rng(3)
    first, second, own = sharp(rng, 6000), sharp(rng, 6000), rng.random((6000, ADVERTISERS)) < 0.1
    length = rng.integers(1, 9, size=6000)
    features = features_of(Form(own=True), first, second, Pasts(own, length), 1e-4)
    made = np.where((length > 3)[:, None], [0.8, 0.3, -1.0], [0.2, 0.9, 1.5])
    truth = softmax(sum(made[:, [i]] * feature for i, feature in enumerate(features)))
    column = drawn(truth, rng)
    pool = fit_pool(first, second, Pasts(own, length), column, FORMS["pool_own_by_length"], SETTINGS)
    np.testing.assert_allclose(pool.weights, [[0.2, 0.9, 1.5], [0.8, 0.3, -1.0]], atol=0.12)
    np.testing.assert_allclose(pool.combine(first, second, Pasts(own, length)), truth, atol=0.1)


def test_the_loss_is_lowest_where_the_fit_says() -> None:
    rng = np.random.default_rng(4)
    first, second = sharp(rng), sharp(rng)
    column = drawn(softmax(np.log(first) + np.log(second)), rng)
    features = [np.log(p).astype(np.float32) for p in (first, second)]

    def loss(weights: np.ndarray) -> float:
        pooled = softmax(sum(w * f for w, f in zip(weights, features, strict=True)))
        return -float(np.log(pooled[np.arange(N), column]).mean())

    best = likeliest_weights(features, column)
    for step in ([0.1, 0], [-0.1, 0], [0, 0.1], [0, -0.1]):
        assert loss(best) < loss(best + step)


def test_repeats_and_new_advertisers_get_weights_of_their_own() -> None:
    """Two uniform sources know nothing; users return to one of their own two: `own` alone tells."""
    rng = np.random.default_rng(5)
    past = [list(map(int, rng.choice(ADVERTISERS, size=2, replace=False))) for _ in range(N)]
    column = np.array([row[int(rng.integers(2))] for row in past])
    fold = fold_of(column, past)
    flat = np.full((N, ADVERTISERS), 1 / ADVERTISERS)
    blend = fit_blend(flat, flat, fold, SETTINGS)
    assert blend.pool.form.own
    combined = blend.pool.combine(flat, flat, pasts_of(fold))
    np.testing.assert_allclose(combined[np.arange(N), column], 0.5, atol=0.02)


def test_labels_outside_the_catalogue_teach_nothing_and_count_as_misses() -> None:
    column, first, second = halves_world(N, np.random.default_rng(6))
    fold, outside = fold_of(column), column.copy()
    outside[::2] = -1
    half = fold_of(outside)
    pasts = pasts_of(fold)
    found = cross_validated(first, second, pasts, half, FORMS["pool"], SETTINGS)
    assert found["recall"] == pytest.approx(0.5)
    alone = fit_pool(first[1::2], second[1::2], pasts.take(np.arange(1, N, 2)), column[1::2], FORMS["pool"], SETTINGS)
    with_them = fit_pool(first, second, pasts, outside, FORMS["pool"], SETTINGS)
    np.testing.assert_allclose(alone.weights, with_them.weights)


def test_what_cross_validation_judges_was_not_fitted() -> None:
    """Sources that know one label each by heart look perfect in the fit; a grid weight fitted on others stays fair."""
    rng = np.random.default_rng(7)
    truth, noise = sharp(rng), sharp(rng)
    fold = fold_of(drawn(truth, rng))
    pasts = pasts_of(fold)
    fair = cross_validated(truth, noise, pasts, fold, FORMS["pool_own_by_length"], SETTINGS)
    seen = fit_pool(truth, noise, pasts, fold.column, FORMS["pool_own_by_length"], SETTINGS)
    fitted = seen.combine(truth, noise, pasts)[np.arange(N), fold.column]
    assert fair["log_loss"] > -np.log(fitted).mean()


def test_the_best_pair_is_the_one_that_knows_both_halves() -> None:
    rng = np.random.default_rng(8)
    column, first, second = halves_world(N, rng, width=12, height=2)
    fold = fold_of(column)
    sources = {"noise": sharp(rng), "rows": first, "rows again": first, "columns": second}
    pair, table = best_pair(sources, fold, SETTINGS)
    assert set(pair) & {"rows", "rows again"} and "columns" in pair
    assert len(table) == 6
    assert table["recall"].is_monotonic_decreasing
    by_loss, _ = best_pair(sources, fold, SETTINGS.model_copy(update={"judge": "log_loss"}))
    assert set(by_loss) == set(pair)
    with pytest.raises(BadInput, match="1 source"):
        best_pair({"rows": first}, fold, SETTINGS)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), form=st.sampled_from(list(FORMS)), zeros=st.booleans())
def test_a_pool_is_a_distribution_whatever_the_sources_say(seed: int, form: str, zeros: bool) -> None:
    rng = np.random.default_rng(seed)
    first, second = sharp(rng, 5), sharp(rng, 5)
    if zeros:
        first = np.eye(ADVERTISERS)[rng.integers(ADVERTISERS, size=5)]
    pasts = Pasts(rng.random(first.shape) < 0.2, rng.integers(0, 9, size=5))
    pool = Pool(FORMS[form], rng.gamma(1, size=(2, 3)), short=3, floor=1e-4)
    combined = pool.combine(first, second, pasts)
    np.testing.assert_allclose(combined.sum(axis=1), 1)
    assert (combined > 0).all()


def test_a_distribution_of_other_users_is_refused() -> None:
    column, first, second = halves_world(20, np.random.default_rng(0))
    with pytest.raises(BadInput, match="shape"):
        fit_blend(first[:-1], second, fold_of(column), SETTINGS)
    with pytest.raises(BadInput, match="no label"):
        fit_blend(first, second, fold_of(np.full(20, -1)), SETTINGS)


def test_a_blend_is_named_after_its_sources_and_versioned_by_all_it_has_learned() -> None:
    examples, _ = habit_world(40, np.random.default_rng(0))
    blend = Blended(RepeatLast(), Cooccurrence(), EQUAL).fit(examples)
    assert blend.name == "repeat_last+cooccurrence"
    other = Blended(blend.first, blend.second, Pool(Form(), np.full((2, 2), 0.6), short=3, floor=1e-4))
    assert blend.model_version != other.model_version
