"""Predictions: the one table every source writes and every consumer reads, with its invariants.

Columns: user_id, day, source, advertiser_id, rank (1 = likeliest), probability, model_version. The
probability is P(advertiser | the user converts in the label window), so a user's rows sum to at most 1.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

FOLDER = "predictions"
"""Where a published stage keeps the table, as Parquet files."""
COLUMNS = ["user_id", "day", "source", "advertiser_id", "rank", "probability", "model_version"]


def from_probabilities(
    probabilities: np.ndarray,
    *,
    user_ids: np.ndarray,
    advertiser_ids: np.ndarray,
    day: date,
    source: str,
    model_version: str,
    k: int,
) -> pd.DataFrame:
    """Top k of a dense matrix.

    Args:
        probabilities: shape (n_users, n_advertisers), rows sum to at most 1. Ties go to the lower column.
        user_ids: shape (n_users,).
        advertiser_ids: shape (n_advertisers,), the catalogue in column order.
        day: the snapshot day.
        source: name of the predictor.
        model_version: version of what was fitted.
        k: rows a user, at most the catalogue's size.
    """
    k = min(k, probabilities.shape[1])
    top = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return from_likeliest(
        top,
        np.take_along_axis(probabilities, top, axis=1),
        user_ids=user_ids,
        advertiser_ids=advertiser_ids,
        day=day,
        source=source,
        model_version=model_version,
    )


def from_likeliest(
    columns: np.ndarray,
    probabilities: np.ndarray,
    *,
    user_ids: np.ndarray,
    advertiser_ids: np.ndarray,
    day: date,
    source: str,
    model_version: str,
) -> pd.DataFrame:
    """The table from each user's likeliest advertisers.

    Args:
        columns: shape (n_users, k), likeliest first.
        probabilities: of these, shape (n_users, k).
        user_ids, advertiser_ids, day, source, model_version: see `from_probabilities`.
    """
    k = columns.shape[1]
    return pd.DataFrame(
        {
            "user_id": np.repeat(user_ids, k),
            "day": day,
            "source": source,
            "advertiser_id": advertiser_ids[columns.ravel()],
            "rank": np.tile(np.arange(1, k + 1), len(user_ids)),
            "probability": probabilities.ravel().astype(np.float64),
            "model_version": model_version,
        },
        columns=COLUMNS,
    )


def violations(predictions: pd.DataFrame, catalogue_ids: set[str]) -> list[str]:
    """Every invariant the table breaks, in words; empty when it is sound."""
    problems: list[str] = []
    by_user = ["user_id", "day", "source"]
    if missing := [c for c in COLUMNS if c not in predictions.columns]:
        return [f"columns missing: {missing}"]
    if predictions[COLUMNS].isna().any().any():
        problems.append("null values")
    if unknown := sorted(set(predictions["advertiser_id"]) - catalogue_ids):
        problems.append(f"advertisers outside the catalogue, such as {unknown[:3]}")
    if predictions.duplicated([*by_user, "advertiser_id"]).any():
        problems.append("an advertiser twice for one user")
    if not predictions["probability"].between(0, 1).all():
        problems.append("probability outside [0, 1]")
    ordered = predictions.sort_values([*by_user, "rank"])
    groups = ordered.groupby(by_user, sort=False)
    if (groups["probability"].sum() > 1 + 1e-6).any():
        problems.append("probabilities of a user sum to more than 1")
    if (ordered["rank"] != groups.cumcount() + 1).any():
        problems.append("ranks are not 1..k without gaps")
    if (groups["probability"].diff() > 1e-12).any():
        problems.append("probability rises with rank")
    return problems


def read_predictions(directory: Path) -> pd.DataFrame:
    """The published predictions of one stage (Parquet shards under `predictions/`), by source, user and rank."""
    shards = sorted((directory / FOLDER).glob("*.parquet"))
    table = pd.concat([pd.read_parquet(shard) for shard in shards], ignore_index=True)
    return table.sort_values(["source", "user_id", "day", "rank"], kind="stable", ignore_index=True)


def write_predictions(predictions: pd.DataFrame, work: Path) -> None:
    """Write a whole table where `read_predictions` finds it."""
    (work / FOLDER).mkdir(exist_ok=True)
    predictions.to_parquet(work / FOLDER / "all.parquet", index=False)
