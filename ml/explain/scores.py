"""Scores one user's candidates as the ranker would on the day after the snapshot, with priors and without.

The score is the bid-weighted one that ads are ranked by (`ml.ranking.score`), with each ad's usual bid.
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
from ml.ranking.blocks import PRIOR_ADVERTISER, PRIOR_USER, PRIOR_VERTICAL, names_of
from ml.ranking.converts import ConvertsModel
from ml.ranking.model import RankingModel
from ml.ranking.priors import Priors
from ml.ranking.score import usual_bids
from ml.ranking.targets import CONVERSION
from ml.timeline import Timeline

ARMS = (NONE, "llm")
"""The rankers shown: without priors, and with the LLM's."""
PRIORS_SHOWN = names_of((PRIOR_USER, PRIOR_ADVERTISER, PRIOR_VERTICAL))
"""Priors that all ads of an advertiser share."""

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
    """By arm, shape (n_candidates,): calibrated P(conversion | impression)."""
    score: dict[str, np.ndarray]
    """By arm, shape (n_candidates,): what showing the ad is worth."""
    position: dict[str, np.ndarray]
    """By arm, shape (n_candidates,): 1 = first, by the score; ties by the uncalibrated P(conversion), then as in the
    set."""
    formula: str
    """Of the score, in words."""
    priors: pd.DataFrame
    """PRIORS_SHOWN of each candidate; no column if there is no LLM ranker or prediction."""


def score(
    lake: Lake,
    timeline: Timeline,
    candidates: pd.DataFrame,
    llm: Priors,
    models: dict[str, RankingModel],
    converts: ConvertsModel | None,
) -> Scored:
    """Scores for impressions on the first day after the snapshot.

    Args:
        lake: validated logs; what became known after `timeline.as_of` is not seen by any feature.
        timeline: of the snapshot day.
        candidates: of one user: user_id, ad_id, advertiser_id.
        llm: the LLM's predictions and interests for him on the snapshot day.
        models: by arm; at least one.
        converts: what the models were trained with.
    """
    day, user = timeline.as_of + timedelta(days=1), str(candidates["user_id"].iloc[0])
    surface = usual_surface(lake, timeline.as_of, user)
    rows = candidates[["user_id", "ad_id", "advertiser_id"]].assign(
        day=day, prior_day=timeline.snapshot_before(day), surface=surface
    )
    frames = arms(lake, rows, {"llm": llm}, converts)
    shown = {arm: models[arm] for arm in ARMS if arm in models}
    bid = usual_bids(lake, timeline.as_of).reindex(rows["ad_id"]).to_numpy()
    forecast = {arm: model.predict(frames[arm]) for arm, model in shown.items()}
    worth = {arm: model.score(forecast[arm], bid) for arm, model in shown.items()}
    raw = {arm: model.conversion.score(frames[arm]) for arm, model in shown.items()}
    return Scored(
        day,
        surface,
        probability={arm: found[CONVERSION] for arm, found in forecast.items()},
        score=worth,
        position={arm: _positions(worth[arm], raw[arm]) for arm in shown},
        formula=next(iter(shown.values())).formula,
        priors=frames["llm"][PRIORS_SHOWN],
    )


def load_models(directory: Path) -> dict[str, RankingModel]:
    """The models shown, by arm."""
    return {arm: RankingModel.load(directory / arm) for arm in ARMS}


def usual_surface(lake: Lake, as_of: date, user_id: str) -> str | None:
    """The surface on which the user saw most impressions by the day; of all users if he saw none."""
    with lake.connect(as_of=as_of) as con:
        found = con.execute(_SURFACE, {"user": user_id}).fetchall()
    return str(found[0][0]) if found else None


def _positions(scores: np.ndarray, raw: np.ndarray) -> np.ndarray:
    positions = np.empty(len(scores), dtype=np.int64)
    positions[np.lexsort((-raw, -scores))] = np.arange(1, len(scores) + 1)
    return positions
