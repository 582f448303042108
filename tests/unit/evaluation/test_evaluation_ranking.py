"""ranking: scikit-learn is the reference, weights included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.errors import BadInput
from ml.evaluation.bootstrap import EvaluationSettings
from ml.evaluation.ranking import METRICS, arm_statistic, ranking_quality

QUICK = EvaluationSettings(ranking_resamples=100)


def sample(seed: int, n_rows: int = 400, n_users: int = 40, decimals: int = 2):  # type: ignore[no-untyped-def]
    """Rows with ties (rounded probabilities), labels drawn from them, users."""
    rng = np.random.default_rng(seed)
    user = np.append(np.arange(n_users), rng.integers(n_users, size=n_rows - n_users))
    probability = np.round(rng.beta(1, 4, size=n_rows), decimals)
    label = (rng.random(n_rows) < probability).astype(float)
    label[:2] = [0, 1]
    return probability, label, user


@given(st.integers(0, 2**16), st.integers(0, 3))
@settings(max_examples=25, deadline=None)
def test_every_metric_equals_scikit_learn_with_sample_weights(seed: int, decimals: int) -> None:
    from sklearn import metrics

    probability, label, user = sample(seed, decimals=decimals)
    weights = np.random.default_rng(seed).integers(0, 4, size=(1, 40)).astype(float)
    weights[0, :2] = 1
    auc, pr_auc, log_loss, normalized_entropy, _ = arm_statistic(probability, label, user, 10)(weights)[0]
    rows = weights[0, user]
    assert auc == pytest.approx(metrics.roc_auc_score(label, probability, sample_weight=rows))
    assert pr_auc == pytest.approx(metrics.average_precision_score(label, probability, sample_weight=rows))
    assert log_loss == pytest.approx(metrics.log_loss(label, probability, sample_weight=rows))
    rate = np.full(len(label), np.average(label, weights=rows))
    assert normalized_entropy == pytest.approx(log_loss / metrics.log_loss(label, rate, sample_weight=rows))


def test_weights_are_the_same_as_repeated_users() -> None:
    """Weight w of a user = w copies of the user's rows, in every metric; bins stay those of the sample."""
    probability, label, user = sample(3)
    weights = np.random.default_rng(0).integers(0, 3, size=(1, 40)).astype(float)
    copies = np.repeat(np.arange(len(label)), weights[0, user].astype(int))
    one = arm_statistic(probability, label, user, 10)(weights)[0]
    two = arm_statistic(probability[copies], label[copies], user[copies], 10)(np.ones((1, 40)))[0]
    np.testing.assert_allclose(one[:4], two[:4])


def test_ece_equals_scikit_learn_quantile_bins() -> None:
    from sklearn.calibration import calibration_curve

    probability, label, user = sample(1, n_rows=1000, decimals=12)
    observed, predicted = calibration_curve(label, probability * 0.7, n_bins=10, strategy="quantile")
    ece = arm_statistic(probability * 0.7, label, user, 10)(np.ones((1, 40)))[0, 4]
    assert ece == pytest.approx(np.abs(observed - predicted).mean())


def test_a_known_miscalibration_is_measured() -> None:
    rng = np.random.default_rng(2)
    truth = rng.uniform(0.1, 0.5, size=40_000)
    label = (rng.random(40_000) < truth).astype(float)
    user = rng.integers(2000, size=40_000)
    arms = {"honest": truth, "high": truth + 0.1}
    found = ranking_quality(
        arms, label, user, pairs=[("high", "honest")], rng=np.random.default_rng(0), settings=QUICK
    ).metrics
    assert found["high"]["ece"].value == pytest.approx(0.1, abs=0.01)
    assert found["honest"]["ece"].value < 0.012
    for arm in arms:
        assert found[arm]["ece"].low <= found[arm]["ece"].value <= found[arm]["ece"].high


def test_the_base_rate_has_normalized_entropy_one_and_no_auc() -> None:
    _, label, user = sample(5)
    rate = np.full(len(label), label.mean())
    found = ranking_quality({"base": rate}, label, user, pairs=[], rng=np.random.default_rng(0), settings=QUICK)
    assert found.metrics["base"]["normalized_entropy"].value == pytest.approx(1)
    assert found.metrics["base"]["auc"].value == 0.5
    assert found.metrics["base"]["pr_auc"].value == pytest.approx(label.mean())
    assert found.metrics["base"]["ece"].value == pytest.approx(0, abs=1e-12)


def test_a_better_arm_is_found_better_and_a_twin_equal() -> None:
    rng = np.random.default_rng(0)
    truth = rng.beta(1, 4, size=6000)
    label, user = (rng.random(6000) < truth).astype(float), rng.integers(600, size=6000)
    noisy = np.clip(truth + rng.normal(0, 0.3, size=6000), 0.001, 0.999)
    arms = {"truth": truth, "noisy": noisy, "twin": truth.copy()}
    pairs = [("truth", "noisy"), ("truth", "twin")]
    found = ranking_quality(arms, label, user, pairs=pairs, rng=rng, settings=QUICK).differences
    better = {d.metric: d for d in found if d.against == "noisy"}
    assert better["auc"].low > 0
    assert better["pr_auc"].low > 0
    assert all(better[m].high < 0 for m in ("log_loss", "normalized_entropy", "ece"))
    assert all((d.value, d.low, d.high) == (0, 0, 0) for d in found if d.against == "twin")


def test_one_class_only_has_no_auc_and_says_so() -> None:
    probability, label, user = sample(0)
    found = ranking_quality(
        {"a": probability}, np.zeros_like(label), user, pairs=[], rng=np.random.default_rng(0), settings=QUICK
    ).metrics_json()["a"]
    assert set(found) == set(METRICS)
    assert found["auc"]["value"] is None
    assert found["normalized_entropy"]["value"] is None
    assert found["log_loss"]["value"] > 0


def test_certain_and_wrong_is_finite() -> None:
    values = arm_statistic(np.array([0.0, 1.0]), np.array([1.0, 0.0]), np.array([0, 1]), 2)(np.ones((1, 2)))
    assert np.isfinite(values).all()


@pytest.mark.parametrize(
    ("arms", "labels", "message"),
    [
        ({"a": np.array([0.1, 1.2])}, np.array([0, 1]), "no probability"),
        ({"a": np.array([0.1, np.nan])}, np.array([0, 1]), "no probability"),
        ({"a": np.array([0.1])}, np.array([0, 1]), "labels"),
        ({"a": np.array([0.1, 0.2])}, np.array([0, 2]), "other than 0 and 1"),
        ({"a": np.array([])}, np.array([]), "nothing to evaluate"),
    ],
)
def test_bad_input_is_refused(arms, labels, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BadInput, match=message):
        ranking_quality(arms, labels, np.arange(len(labels)), pairs=[], rng=np.random.default_rng(0), settings=QUICK)
