"""The log-linear pool of two distributions over one catalogue, and its maximum-likelihood weights.

    p(a | u)  ~  exp(w1 log p1(a | u) + w2 log p2(a | u) [+ v * own(u, a)])

A conditional logit (McFadden 1974) with two or three coefficients: convex, so there is one best set. Log-linear pools
(Genest and Zidek 1986) let a source that is sure speak louder, and w1 + w2 calibrates in the same step; weights of the
log probabilities are not negative. `own` marks advertisers of the user's past: sources differ most in how they
rank those against new ones. With `by_length` users of short histories have coefficients of their own.

It does not know which sources these are, nor how a form is chosen: see `ml.predictors.blend`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.contexts.stream import UserContexts
from ml.predictors.histories import read_histories

PRIOR_TARGETS = 1.0
"""Strength of the pull towards equal weights (and none for `own`): decides only where the targets do not."""


@dataclass(frozen=True)
class Pasts:
    """What of the users' own past the pool looks at.

    Attributes:
        own: shape (n_users, n_advertisers), bool: the user has converted with the advertiser.
        length: shape (n_users,): conversions with advertisers of the catalogue.
    """

    own: np.ndarray
    length: np.ndarray

    @classmethod
    def of(cls, contexts: UserContexts, advertiser_ids: np.ndarray) -> Pasts:
        histories = read_histories(contexts, advertiser_ids)
        spans = histories.whole()
        return cls(histories.weights(spans).toarray() > 0, spans[:, 1] - spans[:, 0])

    def take(self, rows: np.ndarray) -> Pasts:
        return Pasts(self.own[rows], self.length[rows])


@dataclass(frozen=True)
class Form:
    """Which features a pool has.

    Attributes:
        own: with the indicator of the user's past.
        by_length: coefficients of their own for short histories.
        standardized: log probabilities as z-scores within the user.
        by_recall: w1 : w2 is that of the best recall, out of a grid; only their sum is the likeliest.
    """

    own: bool = False
    by_length: bool = False
    standardized: bool = False
    by_recall: bool = False


FORMS = {
    "pool": Form(),
    "pool_own": Form(own=True),
    "pool_own_by_length": Form(own=True, by_length=True),
    "pool_by_recall": Form(by_recall=True),
    "z_scores": Form(standardized=True, by_recall=True),
}


@dataclass(frozen=True)
class Pool:
    """A fitted pool.

    Attributes:
        form: its features.
        weights: shape (2, n_features): of users with short histories, and of the others (w1, w2, and v with `own`).
        short: conversions up to which a history is short.
        floor: share of the uniform distribution that is mixed into both sources, so that no probability is 0.
    """

    form: Form
    weights: np.ndarray
    short: int
    floor: float

    def combine(self, first: np.ndarray, second: np.ndarray, pasts: Pasts) -> np.ndarray:
        """The pooled distribution, float64, rows sum to 1.

        Args:
            first, second: shape (n_users, n_advertisers), rows sum to 1.
            pasts: of the same users and advertisers.
        """
        features = features_of(self.form, first, second, pasts, self.floor)
        weights = self.weights[(pasts.length > self.short).astype(int)]
        logits = sum(feature * weights[:, [i]] for i, feature in enumerate(features))
        return softmax(np.asarray(logits, dtype=np.float64))


def features_of(form: Form, first: np.ndarray, second: np.ndarray, pasts: Pasts, floor: float) -> list[np.ndarray]:
    """What a form's coefficients multiply, float32, each of shape (n_users, n_advertisers)."""
    logs = [np.log((1 - floor) * p + floor / p.shape[1]).astype(np.float32) for p in (first, second)]
    if form.standardized:
        logs = [standardize(log) for log in logs]
    return [*logs, pasts.own.astype(np.float32)] if form.own else logs


def standardize(values: np.ndarray) -> np.ndarray:
    """Each row less its mean, over its standard deviation; a constant row becomes 0."""
    centred = values - values.mean(axis=1, keepdims=True)
    spread = centred.std(axis=1, keepdims=True)
    return np.asarray(centred / np.where(spread > 1e-6, spread, 1.0))


def likeliest_weights(features: list[np.ndarray], column: np.ndarray) -> np.ndarray:
    """Coefficients of the least log loss (L-BFGS-B), shape (n_features,); the first two are not negative.

    Args:
        features: each of shape (n_targets, n_advertisers).
        column: shape (n_targets,): the advertiser converted with.
    """
    from scipy.optimize import minimize

    start = np.array([0.5, 0.5, *[0.0] * (len(features) - 2)])
    if not len(column):
        return start
    rows, n = np.arange(len(column)), len(column)
    found = np.array([float(feature[rows, column].sum(dtype=np.float64)) for feature in features])

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        logits = np.zeros_like(features[0])
        for weight, feature in zip(weights, features, strict=True):
            logits += np.float32(weight) * feature
        top = logits.max(axis=1, keepdims=True)
        odds = np.exp(logits - top)
        total = odds.sum(axis=1, keepdims=True, dtype=np.float64)
        log_likelihood = weights @ found - float((np.log(total) + top).sum())
        odds /= total
        expected = np.array([float(np.einsum("ij,ij->", odds, f, dtype=np.float64)) for f in features])
        pull = weights - start
        value = (PRIOR_TARGETS * float(pull @ pull) - log_likelihood) / n
        return value, (2 * PRIOR_TARGETS * pull + expected - found) / n

    bounds = [(0.0, None), (0.0, None), *[(None, None)] * (len(features) - 2)]
    return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x)


def temperature_weight(scores: np.ndarray, column: np.ndarray) -> float:
    """The factor s of the least log loss of softmax(s * scores)."""
    return float(likeliest_weights([scores, scores], column).sum())


def softmax(logits: np.ndarray) -> np.ndarray:
    """Row-wise, shape as `logits`."""
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))
