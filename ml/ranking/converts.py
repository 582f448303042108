"""P(converts): the chance that a user converts with anybody in the label window after a day, from his activity.

One logistic regression on log(1 + count) of what `ml.ranking.counts` counts around the user, and on how long his last
conversion lies back. Its own as-of rule: it learns at past snapshot days x whose label window x + 1..x + w had closed
by the predictor cutoff, from conversions known by then; so the ranker's rows all come after what it has seen. An
advertiser prediction is P(advertiser | converts): this is the other factor, the same for every arm.

    model = train_converts(lake, timeline, seed=1)      # None: no snapshot has closed yet, or nobody ever converted
    model.predict(raw)                                  # raw counts of users, as `FeatureSource.raw` has them
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from ml.artifacts import read_json, write_json
from ml.lake import Lake
from ml.ranking.counts import KEYS, counts, create_facts
from ml.ranking.registers import create_versions
from ml.timeline import Timeline, end_of

USER_KEY = next(key for key in KEYS if key.name == "user")
SINCE = "user_days_since_conversion"
COUNTS = [name for name in USER_KEY.features if name != SINCE]
SNAPSHOTS = 4
"""Most past days it learns from, a label window apart."""
MAX_USERS = 20_000
"""Most users of one of these days, drawn at random."""
FILE = "converts.json"

_ASKED = "CREATE OR REPLACE TEMP TABLE asked AS SELECT user_id, row, $day::DATE AS day FROM candidates"
_SEEN = """
SELECT user_id FROM users_versions u SEMI JOIN facts f ON f.user_id = u.user_id AND f.known_day < $day
WHERE u.known_day < $day GROUP BY user_id HAVING arg_max(consent, u.known_day) ORDER BY user_id
"""
_CONVERTED = """
SELECT DISTINCT user_id FROM conversions
WHERE event_time >= $first AND event_time < $end AND coalesce(known_at, event_time) < $known
"""


@dataclass(frozen=True)
class ConvertsModel:
    """A fitted logistic regression.

    Attributes:
        intercept, weights: on standardised inputs, in the order of `inputs`.
        mean, scale: of the inputs in training.
        days: the snapshot days it learned from, ISO.
        rows, positives: what it learned from.
    """

    intercept: float
    weights: list[float]
    mean: list[float]
    scale: list[float]
    days: list[str]
    rows: int
    positives: int

    def predict(self, raw: Mapping[str, np.ndarray]) -> np.ndarray:
        """P(converts in the label window), shape (n,).

        Args:
            raw: counts around the user by name, each of shape (n,); nan days since a conversion: never.
        """
        found: np.ndarray = 1 / (1 + np.exp(-(self._standard(inputs(raw)) @ np.array(self.weights) + self.intercept)))
        return found

    def _standard(self, x: np.ndarray) -> np.ndarray:
        scaled: np.ndarray = (x - np.array(self.mean)) / np.array(self.scale)
        return scaled

    def save(self, directory: Path) -> None:
        """Write converts.json into `directory`."""
        write_json(directory / FILE, asdict(self))

    @classmethod
    def load(cls, directory: Path) -> ConvertsModel | None:
        """What `save` wrote; None if nothing was."""
        return cls(**read_json(directory / FILE)) if (directory / FILE).exists() else None


def inputs(raw: Mapping[str, np.ndarray]) -> np.ndarray:
    """log(1 + count) of COUNTS, and 1 / (1 + days since the last conversion), 0 if never; (n, len(COUNTS) + 1)."""
    recent = np.nan_to_num(1 / (1 + raw[SINCE]))
    return np.column_stack([*(np.log1p(raw[name]) for name in COUNTS), recent])


def train_converts(lake: Lake, timeline: Timeline, *, seed: int) -> ConvertsModel | None:
    """Fit on past snapshots; see above.

    Args:
        lake: validated logs; nothing known after `timeline.predictor_cutoff` is read.
        timeline: of the snapshot day.
        seed: draws users.
    """
    window = timeline.settings.label_window_days
    days = [timeline.predictor_cutoff - timedelta(days=window * k) for k in range(1, SNAPSHOTS + 1)]
    con = lake.connect()
    create_versions(con, lake)
    create_facts(con)
    rng = np.random.default_rng([seed, 8])
    past = lake.connect(as_of=timeline.predictor_cutoff)
    x, y, used = [], [], []
    for day in days:
        users = con.execute(_SEEN, {"day": day + timedelta(days=1)}).df()["user_id"].to_numpy(dtype=object)
        if not len(users):
            continue
        if len(users) > MAX_USERS:
            users = np.sort(rng.choice(users, MAX_USERS, replace=False))
        con.register("candidates", pd.DataFrame({"user_id": users, "row": np.arange(len(users))}))
        con.execute(_ASKED, {"day": day + timedelta(days=1)})
        x.append(inputs(counts(con, USER_KEY)))
        span = {"first": end_of(day), "end": end_of(day + timedelta(days=window))}
        known = end_of(timeline.predictor_cutoff)
        converted = past.execute(_CONVERTED, {**span, "known": known}).df()["user_id"]
        y.append(np.isin(users, converted.to_numpy(dtype=object)))
        used.append(day)
    return _fit(np.concatenate(x), np.concatenate(y), used) if used else None


def _fit(x: np.ndarray, y: np.ndarray, days: list[date]) -> ConvertsModel | None:
    from sklearn.linear_model import LogisticRegression

    if y.all() or not y.any():
        return None
    mean, scale = x.mean(axis=0), x.std(axis=0)
    scale[scale == 0] = 1.0
    fitted = LogisticRegression(C=1.0, max_iter=500).fit((x - mean) / scale, y)
    return ConvertsModel(
        intercept=float(fitted.intercept_[0]),
        weights=fitted.coef_[0].tolist(),
        mean=mean.tolist(),
        scale=scale.tolist(),
        days=[str(day) for day in days],
        rows=len(y),
        positives=int(y.sum()),
    )
