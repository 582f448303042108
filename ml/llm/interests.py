"""The interests head: which subverticals (categories of conversions) a user's next conversion will be in.

    logits = s * norm(h - c) . W + b

A second head on the state that the advertiser head reads (h, centre c), trained jointly: its loss is added with a
weight. W starts at 0, b at the smoothed log popularity of the interests among the training targets. An interest needs
MIN_TARGETS of them; targets of a rarer one, or of none, take no part in its loss, so a probability is that of the
interest among the frequent ones. A temperature is fitted on held-out users. It knows no advertisers.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ml.llm.head import START_SCALE, log_popularity
from ml.llm.validation import fit_temperature, recall_at

if TYPE_CHECKING:
    import torch

MIN_TARGETS = 10
FOLDER = "interests"
"""Where published predictions keep the table, beside that of the advertisers."""
COLUMNS = ["user_id", "day", "interest", "rank", "probability", "model_version"]
LEARNED = ("interest_weight", "interest_bias")


class InterestHead:
    """The head as a dictionary of tensors (LEARNED, centre, log_popularity, temperature); interests in column order."""

    def __init__(self, names: list[str], tensors: dict[str, torch.Tensor]) -> None:
        self.names, self.tensors = names, tensors

    @classmethod
    def start(cls, interest: pd.Series, centre: np.ndarray) -> InterestHead:
        """The head before training.

        Args:
            interest: of each training target, null where it has none.
            centre: mean state before training, shape (hidden,).
        """
        import torch

        counts = interest.value_counts()
        names = sorted(str(name) for name in counts.index[counts >= MIN_TARGETS])
        shares = log_popularity(counts.reindex(names).to_numpy(dtype=float)) if names else np.zeros(0)
        return cls(
            names,
            {
                "centre": torch.from_numpy(centre).float(),
                "interest_weight": torch.zeros(len(centre), len(names)),
                "interest_bias": torch.from_numpy(shares).float(),
                "log_popularity": torch.from_numpy(shares).float(),
                "temperature": torch.tensor(1.0),
            },
        )

    @property
    def learned(self) -> dict[str, torch.Tensor]:
        return {name: self.tensors[name] for name in LEARNED}

    def to(self, device: str) -> InterestHead:
        return InterestHead(self.names, {name: tensor.to(device) for name, tensor in self.tensors.items()})

    def columns(self, interest: pd.Series) -> np.ndarray:
        """Column of each interest, -1 where it has none."""
        return np.asarray(pd.Index(self.names, dtype=object).get_indexer(pd.Index(interest)))

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Scores, shape (n, n_interests), of hidden states (n, hidden)."""
        from torch.nn.functional import normalize

        t = self.tensors
        users = normalize(hidden.float() - t["centre"], dim=1)
        return START_SCALE * users @ t["interest_weight"] + t["interest_bias"]

    def probabilities(self, hidden: np.ndarray) -> np.ndarray:
        """P(interest | converts with one of them), float64, shape (n, n_interests), of hidden states (n, hidden)."""
        import torch

        with torch.inference_mode():
            logits = self.logits(torch.from_numpy(hidden).to(self.tensors["centre"].device))
            found: np.ndarray = torch.softmax(logits.double() / self.tensors["temperature"], dim=1).cpu().numpy()
        return found

    def judge(self, hidden: np.ndarray, column: np.ndarray) -> dict[str, float]:
        """Fit the temperature on held-out targets, and tell recall@5 beside popularity's; nothing if none has any.

        Args:
            hidden: shape (n, hidden).
            column: shape (n,), -1 where a target has none.
        """
        import torch

        rows = np.flatnonzero(column >= 0)
        if not len(rows):
            return {}
        with torch.inference_mode():
            logits = self.logits(torch.from_numpy(hidden[rows]).to(self.tensors["centre"].device)).cpu().numpy()
        self.tensors["temperature"] = torch.tensor(fit_temperature(logits, column[rows]))
        popular = np.broadcast_to(self.tensors["log_popularity"].cpu().numpy(), logits.shape)
        return {
            "validation_interest_recall@5": recall_at(logits, column[rows], 5),
            "popularity_interest_recall@5": recall_at(popular, column[rows], 5),
        }

    def loss(self, hidden: torch.Tensor, column: np.ndarray) -> torch.Tensor:
        """Mean cross-entropy over the targets that have an interest (0 if none has).

        Args:
            hidden: shape (n, hidden).
            column: shape (n,), -1 where a target has none.
        """
        import torch

        rows = np.flatnonzero(column >= 0)
        if not len(rows):
            return hidden.sum() * 0
        target = torch.from_numpy(column[rows]).to(hidden.device)
        return torch.nn.functional.cross_entropy(self.logits(hidden[torch.from_numpy(rows).to(hidden.device)]), target)


def top_interests(
    probabilities: np.ndarray, names: list[str], user_ids: np.ndarray, day: date, model_version: str, k: int
) -> pd.DataFrame:
    """The k likeliest interests of each user, COLUMNS, by user and rank.

    Args:
        probabilities: shape (n_users, n_interests), rows sum to 1. Ties go to the lower column.
        names: interests in column order.
        user_ids: shape (n_users,).
        day: the snapshot day.
        model_version: of the LLM.
        k: rows a user, at most the number of interests.
    """
    k = min(k, len(names))
    top = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return pd.DataFrame(
        {
            "user_id": np.repeat(user_ids, k),
            "day": day,
            "interest": np.array(names, dtype=object)[top.ravel()],
            "rank": np.tile(np.arange(1, k + 1), len(user_ids)),
            "probability": np.take_along_axis(probabilities, top, axis=1).ravel().astype(np.float64),
            "model_version": model_version,
        },
        columns=COLUMNS,
    )


def write_interests(interests: pd.DataFrame, directory: Path) -> None:
    """Publish a table as one shard; `ml.llm.incremental` writes many."""
    (directory / FOLDER).mkdir(parents=True, exist_ok=True)
    interests.to_parquet(directory / FOLDER / "part-0.parquet", index=False)


def read_interests(directory: Path) -> pd.DataFrame:
    """The published interests (Parquet shards under `interests/`), by user and rank; empty if there are none."""
    shards = [pd.read_parquet(path) for path in sorted((directory / FOLDER).glob("*.parquet"))]
    filled = [shard for shard in shards if len(shard)]
    if not filled:
        return pd.DataFrame(columns=COLUMNS)
    return pd.concat(filled, ignore_index=True).sort_values(["user_id", "rank"], kind="stable", ignore_index=True)


def violations(interests: pd.DataFrame) -> list[str]:
    """Every invariant the table breaks, in words; empty when it is sound."""
    if missing := [c for c in COLUMNS if c not in interests.columns]:
        return [f"columns missing: {missing}"]
    problems = []
    by_user = interests.sort_values(["user_id", "rank"]).groupby("user_id", sort=False)
    if interests[COLUMNS].isna().any().any():
        problems.append("null values")
    if interests.duplicated(["user_id", "interest"]).any():
        problems.append("an interest twice for one user")
    if not interests["probability"].between(0, 1).all():
        problems.append("probability outside [0, 1]")
    if (by_user["probability"].sum() > 1 + 1e-6).any():
        problems.append("probabilities of a user sum to more than 1")
    if (by_user["probability"].diff() > 1e-12).any():
        problems.append("probability rises with rank")
    if (interests.sort_values(["user_id", "rank"])["rank"] != by_user.cumcount() + 1).any():
        problems.append("ranks are not 1..k without gaps")
    return problems
