"""Priors as features: what the snapshot before a row's day predicted for its user and advertiser.

Missing is explicit. A user without predictions on the row's prior_day has UNSCORED in every column; an advertiser
outside the user's list has probability 0, the floor's log-odds and the rank after the list's last. The interest match
is the probability of the ad's category among the user's forecast interests; only the LLM forecasts any.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ml.errors import BadInput, TimelineViolation
from ml.llm.interests import COLUMNS as INTERESTS
from ml.ranking.blocks import PRIORS, UNSCORED, feature_matrix, finish, names_of

FEATURES_PRIOR = names_of(PRIORS)


@dataclass(frozen=True)
class Priors:
    """What one source says of users, of as many snapshot days as there are.

    Attributes:
        predictions: a Predictions table of one source.
        interests: a table of `ml.llm.interests`; no rows where the source forecasts none.
    """

    predictions: pd.DataFrame
    interests: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=INTERESTS))


def prior_features(
    rows: pd.DataFrame, priors: pd.DataFrame | Priors, verticals: pd.Series, categories: pd.Series | None = None
) -> pd.DataFrame:
    """FEATURES_PRIOR of each row, with the index of `rows`; see `prior_matrix`."""
    return pd.DataFrame(prior_matrix(rows, priors, verticals, categories), columns=FEATURES_PRIOR, index=rows.index)


def prior_matrix(
    rows: pd.DataFrame, priors: pd.DataFrame | Priors, verticals: pd.Series, categories: pd.Series | None = None
) -> np.ndarray:
    """FEATURES_PRIOR of each row, float32 without nulls, shape (n, len(FEATURES_PRIOR)).

    Args:
        rows: user_id, advertiser_id, day, prior_day (dates; prior_day may be null); ad_id if there are interests.
        priors: of one source; a bare table has no interests.
        verticals: vertical by advertiser_id.
        categories: category by ad_id; None: no interest matches.

    Returns:
        prior_vertical_share is the listed probability in the vertical of the row's advertiser over all listed
        probability.

    Raises:
        BadInput: priors of several sources.
        TimelineViolation: a prior_day that is not before its row's day.
    """
    priors = priors if isinstance(priors, Priors) else Priors(priors)
    if len(sources := sorted(priors.predictions["source"].unique())) > 1:
        raise BadInput(f"priors of several sources: {sources}", where="priors", remedy="one arm, one source")
    day, prior_day = pd.to_datetime(rows["day"]), pd.to_datetime(rows["prior_day"])
    if (prior_day >= day).any():
        raise TimelineViolation(f"{int((prior_day >= day).sum())} rows have a prior that is not older than they are")
    asked = rows[["user_id", "advertiser_id"]].assign(
        prior_day=prior_day,
        vertical=rows["advertiser_id"].map(verticals),
        interest=None if categories is None else rows["ad_id"].map(categories),
        staleness=(day - prior_day).dt.days,
    )
    raw = _look_up(asked, priors, verticals)
    return feature_matrix([(finish(block, raw), None) for block in PRIORS], len(rows))


def _look_up(asked: pd.DataFrame, priors: Priors, verticals: pd.Series) -> dict[str, np.ndarray]:
    """The raw columns of PRIORS: each row's own, null where there is none."""
    keys = ["user_id", "prior_day"]
    listed = _by_snapshot(priors.predictions, ["advertiser_id", "rank", "probability"])
    listed["vertical"] = listed["advertiser_id"].map(verticals)
    totals = listed.groupby(keys)["probability"].agg(total="sum", listed="size").reset_index()
    in_vertical = listed.groupby([*keys, "vertical"])["probability"].sum().rename("vertical_mass").reset_index()
    interests = _by_snapshot(priors.interests, ["interest", "probability"])
    counted = interests.groupby(keys).size().rename("interests").reset_index()
    found = asked.rename(columns={"interest": "category"})
    for table, on in (
        (totals, keys),
        (in_vertical, [*keys, "vertical"]),
        (listed.drop(columns="vertical"), [*keys, "advertiser_id"]),
        (counted, keys),
        (interests.rename(columns={"interest": "category", "probability": "interest"}), [*keys, "category"]),
    ):
        found = found.merge(table, on=on, how="left", validate="many_to_one")
    names = ("staleness", "total", "listed", "vertical_mass", "rank", "probability", "interests", "interest")
    return {name: found[name].to_numpy(np.float64) for name in names}


def _by_snapshot(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    return table[["user_id", *columns]].assign(prior_day=pd.to_datetime(table["day"]))


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
