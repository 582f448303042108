"""itemknn: the nearest neighbours of what a user converted with (Sarwar et al. 2001), by the library `implicit`.

Two advertisers are near if the same users convert with both, users weighted as cosine, TF-IDF or BM25 do.
"""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
from pydantic import Field

from ml.predictors.from_history import FromHistory, FromHistorySettings


class ItemKnnSettings(FromHistorySettings):
    """Of the neighbourhoods."""

    neighbours: int = Field(default=100, ge=1)
    """Neighbours kept of each advertiser."""
    weighting: Literal["cosine", "tfidf", "bm25"] = "tfidf"
    """How a user counts in the similarity of two advertisers."""
    own_bonus: float = Field(default=0.5, ge=0)
    """Weight of log(1 + own conversions with the advertiser) beside the score, which leaves one's own past out."""


class ItemKnn(FromHistory):
    """`model` is the sparse similarity of advertisers, an advertiser's own left out."""

    name = "itemknn"
    settings: ItemKnnSettings

    def __init__(self, settings: ItemKnnSettings | None = None) -> None:
        self.settings = settings or ItemKnnSettings()

    def learn(self, bought: Any, option: Any) -> Any:
        from implicit import nearest_neighbours
        from scipy import sparse

        kinds = {"cosine": "CosineRecommender", "tfidf": "TFIDFRecommender", "bm25": "BM25Recommender"}
        make = getattr(nearest_neighbours, kinds[self.settings.weighting])
        # one neighbour more: each advertiser is its own nearest
        model = make(K=self.settings.neighbours + 1, num_threads=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the library converts its own intermediate result, and warns of it
            model.fit(bought, show_progress=False)
        similarity = model.similarity.tolil()
        similarity.setdiag(0)
        return sparse.csr_matrix(similarity)

    def score(self, model: Any, weights: Any) -> np.ndarray:
        return np.asarray((weights @ model).toarray())
