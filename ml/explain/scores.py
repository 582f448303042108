"""Scores one user's candidates as the ranker would on the day after the snapshot, with priors and without.

Features and priors come from the same functions as the ranker's training rows and the evaluation's
(ml/ranking/arms.py), so the numbers are theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from ml.lake import Lake
from ml.ranking.arms import NONE, arms
from ml.ranking.priors import FEATURES_PRIOR
from ml.ranking.ranker import Ranker
from ml.timeline import Timeline

ARMS = (NONE, "llm")
"""The rankers shown: without priors, and with the LLM's."""

_SURFACE = """
SELECT surface FROM impressions WHERE surface IS NOT NULL
GROUP BY surface ORDER BY count(*) FILTER (user_id = $user) DESC, count(*) DESC, surface LIMIT 1
"""


@dataclass(frozen=True)
class Scored:
    """Scores of some candidates, in their order."""

    day: date
    surface: str | None
    probability: dict[str, np.ndarray]
    """By arm, shape (n_candidates,): calibrated."""
    position: dict[str, np.ndarray]
    """By arm, shape (n_candidates,): 1 = first, by the raw score; ties in the order of the set."""
    priors: pd.DataFrame
    """FEATURES_PRIOR of each candidate; no column if there is no LLM ranker or prediction."""


def score(
    lake: Lake, timeline: Timeline, candidates: pd.DataFrame, llm: pd.DataFrame, rankers: dict[str, Ranker]
) -> Scored:
    """Scores for impressions on the first day after the snapshot.

    Args:
        lake: validated logs; what became known after `timeline.as_of` is not seen by any feature.
        timeline: of the snapshot day.
        candidates: of one user: user_id, ad_id, advertiser_id.
        llm: the LLM's predictions for him on the snapshot day.
        rankers: by arm.
    """
    day, user = timeline.as_of + timedelta(days=1), str(candidates["user_id"].iloc[0])
    surface = usual_surface(lake, timeline.as_of, user)
    rows = candidates[["user_id", "ad_id", "advertiser_id"]].assign(
        day=day, prior_day=timeline.snapshot_before(day), surface=surface
    )
    frames = arms(lake, rows, {"llm": llm})
    shown = {arm: rankers[arm] for arm in ARMS if arm in rankers}
    probability = {arm: ranker.predict(frames[arm]) for arm, ranker in shown.items()}
    position = {arm: _positions(ranker.score(frames[arm])) for arm, ranker in shown.items()}
    return Scored(day, surface, probability, position, frames["llm"][FEATURES_PRIOR])


def load_rankers(directory: Path) -> dict[str, Ranker]:
    """The rankers shown, by arm."""
    return {arm: Ranker.load(directory / arm) for arm in ARMS}


def usual_surface(lake: Lake, as_of: date, user_id: str) -> str | None:
    """The surface on which the user saw most impressions by the day; of all users if he saw none."""
    with lake.connect(as_of=as_of) as con:
        found = con.execute(_SURFACE, {"user": user_id}).fetchall()
    return str(found[0][0]) if found else None


def _positions(scores: np.ndarray) -> np.ndarray:
    positions = np.empty(len(scores), dtype=np.int64)
    positions[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    return positions
