"""What the held-out users say: loss, recall and log loss beside popularity, and the temperature."""

from __future__ import annotations

import numpy as np

TEMPERATURES = (0.2, 5.0)
"""Range in which the temperature is sought."""


def log_loss(logits: np.ndarray, target: np.ndarray) -> float:
    """Mean of -log softmax(logits)[target], nats."""
    return float(-log_softmax(logits)[np.arange(len(target)), target].mean())


def recall_at(logits: np.ndarray, target: np.ndarray, k: int) -> float:
    """Share of targets among the k highest scores; ties go to the lower column."""
    top = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    return float((top == target[:, None]).any(axis=1).mean())


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Row-wise log probabilities, float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    result: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def fit_temperature(logits: np.ndarray, target: np.ndarray) -> float:
    """The T that minimises log_loss(logits / T) (Guo et al. 2017), by golden section over log T.

    The loss is convex in 1 / T, so it has one valley in log T too.
    """
    ratio = (5**0.5 - 1) / 2
    low, high = np.log(TEMPERATURES[0]), np.log(TEMPERATURES[1])
    while high - low > 1e-4:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if log_loss(logits / np.exp(left), target) < log_loss(logits / np.exp(right), target):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))


def validation_metrics(
    logits: np.ndarray, target: np.ndarray, popularity_logits: np.ndarray, temperature: float
) -> dict[str, float]:
    """The forecaster beside popularity on the same targets.

    Args:
        logits: shape (n_targets, n_advertisers).
        target: shape (n_targets,), catalogue rows.
        popularity_logits: shape (n_advertisers,).
        temperature: what logits are divided by.
    """
    popular = np.broadcast_to(popularity_logits, logits.shape)
    metrics = {
        "validation_log_loss": log_loss(logits / temperature, target),
        "popularity_log_loss": log_loss(popular, target),
    }
    for k in (1, 10):
        metrics[f"validation_recall@{k}"] = recall_at(logits, target, k)
        metrics[f"popularity_recall@{k}"] = recall_at(popular, target, k)
    return metrics
