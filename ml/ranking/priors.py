"""Priors as features: what the snapshot before a row's day predicted for its user and advertiser.

Missing is explicit. A user without predictions on the row's prior_day has UNSCORED in every column; an advertiser
outside the user's list has probability 0, the floor's log-odds and the rank after the list's last.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.errors import BadInput, TimelineViolation

FEATURES_PRIOR = [
    "prior_probability",
    "prior_log_odds",
    "prior_rank",
    "prior_vertical_share",
    "prior_staleness_days",
    "prior_scored",
]
FLOOR = 1e-6
"""Probabilities are clipped to [FLOOR, 1 - FLOOR] before taking log-odds."""
UNSCORED = {
    "prior_probability": -1.0,
    "prior_log_odds": -20.0,
    "prior_rank": -1.0,
    "prior_vertical_share": -1.0,
    "prior_staleness_days": -1.0,
    "prior_scored": 0.0,
}


def prior_features(rows: pd.DataFrame, priors: pd.DataFrame, verticals: pd.Series) -> pd.DataFrame:
    """FEATURES_PRIOR of each row, with the index of `rows`.

    Args:
        rows: user_id, advertiser_id, day, prior_day (dates; prior_day may be null).
        priors: a Predictions table of one source, of as many snapshot days as there are.
        verticals: vertical by advertiser_id.

    Returns:
        float32 without nulls. prior_vertical_share is the listed probability in the vertical of the row's advertiser
        over all listed probability.

    Raises:
        BadInput: priors of several sources.
        TimelineViolation: a prior_day that is not before its row's day.
    """
    if len(sources := sorted(priors["source"].unique())) > 1:
        raise BadInput(f"priors of several sources: {sources}", where="priors", remedy="one arm, one source")
    day, prior_day = pd.to_datetime(rows["day"]), pd.to_datetime(rows["prior_day"])
    if (prior_day >= day).any():
        raise TimelineViolation(f"{int((prior_day >= day).sum())} rows have a prior that is not older than they are")
    keys = ["user_id", "prior_day"]
    asked = rows[["user_id", "advertiser_id"]].assign(
        prior_day=prior_day, vertical=rows["advertiser_id"].map(verticals), staleness=(day - prior_day).dt.days
    )
    listed = priors[["user_id", "advertiser_id", "rank", "probability"]].assign(
        prior_day=pd.to_datetime(priors["day"]), vertical=priors["advertiser_id"].map(verticals)
    )
    totals = listed.groupby(keys)["probability"].agg(total="sum", length="size").reset_index()
    in_vertical = listed.groupby([*keys, "vertical"])["probability"].sum().rename("mass").reset_index()
    found = asked.merge(totals, on=keys, how="left")
    found = found.merge(in_vertical, on=[*keys, "vertical"], how="left")
    mine = listed[[*keys, "advertiser_id", "rank", "probability"]]
    found = found.merge(mine, on=[*keys, "advertiser_id"], how="left", validate="many_to_one")
    return _filled(found).set_index(rows.index)


def hidden_priors(rows: pd.DataFrame, share: float, rng: np.random.Generator) -> np.ndarray:
    """Rows whose priors are hidden in training: those of a `share` of the (user, prior_day) pairs. bool, shape (n,)."""
    pair = pd.MultiIndex.from_frame(rows[["user_id", "prior_day"]].astype({"prior_day": str}))
    codes, pairs = pair.factorize(sort=True)
    hidden: np.ndarray = (rng.random(len(pairs)) < share)[codes]
    return hidden


def hide_priors(matrix: np.ndarray, names: list[str], hidden: np.ndarray) -> None:
    """Make rows of a feature matrix what they are without a prediction, in place.

    Args:
        matrix: shape (n, len(names)).
        names: its columns.
        hidden: which rows, bool, shape (n,).
    """
    for place, name in enumerate(names):
        if name in UNSCORED:
            matrix[hidden, place] = UNSCORED[name]


def _filled(found: pd.DataFrame) -> pd.DataFrame:
    probability = found["probability"].fillna(0.0)
    clipped = probability.clip(FLOOR, 1 - FLOOR)
    features = pd.DataFrame(
        {
            "prior_probability": probability,
            "prior_log_odds": np.log(clipped / (1 - clipped)),
            "prior_rank": found["rank"].fillna(found["length"] + 1),
            "prior_vertical_share": found["mass"].fillna(0.0) / found["total"].clip(lower=FLOOR),
            "prior_staleness_days": found["staleness"],
            "prior_scored": 1.0,
        },
        columns=FEATURES_PRIOR,
    )
    scored = found["total"].notna()
    features.loc[~scored, FEATURES_PRIOR] = [UNSCORED[name] for name in FEATURES_PRIOR]
    return features.astype(np.float32)
