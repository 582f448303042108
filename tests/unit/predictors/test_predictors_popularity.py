"""popularity: recency-weighted shares, checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ml.contexts.stream import TrainingExamples
from ml.errors import BadInput
from ml.predictors.popularity import Popularity, PopularitySettings
from tests.contracts.predictor_contract import PredictorContract, build_examples


class TestContract(PredictorContract):
    wins = ("fashion",)

    def make(self) -> Popularity:
        return Popularity()


def test_counts_shares_by_hand() -> None:
    examples = build_examples([[0, 0, 1], [1], [1]])
    table = (
        Popularity(PopularitySettings(half_life_days=1e9, smoothing=0.5)).fit(examples).predict(examples.contexts, 3)
    )
    first = table[table["user_id"] == "u0000"]
    assert list(first["advertiser_id"]) == ["a01", "a00", "a02"]
    np.testing.assert_allclose(first["probability"], np.array([3.5, 2.5, 0.5]) / (5 + 0.5 * 24), rtol=1e-6)


def test_a_half_life_halves() -> None:
    # One conversion each with a00 (two days before the newest) and a01 (newest), both at noon.
    examples = build_examples([[0, 2, 1]])
    predictor = Popularity(PopularitySettings(half_life_days=2.0, smoothing=1e-12)).fit(examples)
    assert predictor.shares[0] / predictor.shares[1] == pytest.approx(0.5, rel=1e-6)


def test_an_empty_catalogue_is_refused() -> None:
    examples = build_examples([[0]])
    with pytest.raises(BadInput, match="eligible"):
        Popularity().fit(TrainingExamples(examples.contexts, examples.targets, examples.catalogue.iloc[:0]))


def test_without_any_conversion_all_are_equal() -> None:
    examples = build_examples([[], []])
    assert np.ptp(Popularity().fit(examples).shares) == 0
