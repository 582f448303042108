"""Forecast interests as part of the priors: the LLM's own, and for its placebo those of whoever's place it took.

Only the LLM forecasts interests. The placebo gives each user another user's predictions; were his interests left
his own, they would tell about him after all, and were they left out, the placebo would be poorer than what it stands in
for. It does not know how interests are forecast.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from ml.predictors.placebo import SOURCE as PLACEBO
from ml.ranking.priors import Priors

LLM = "llm"


def with_interests(predictions: Mapping[str, pd.DataFrame], interests: pd.DataFrame) -> dict[str, Priors]:
    """Priors of every source: the LLM's and the placebo's with interests, the others without.

    Args:
        predictions: Predictions tables by source, of one or more days.
        interests: the LLM's, of the same days (`ml.llm.interests`); no rows if it was trained without.
    """
    found = {source: Priors(table) for source, table in predictions.items()}
    if LLM in found and len(interests):
        found[LLM] = Priors(predictions[LLM], interests)
        if PLACEBO in found:
            found[PLACEBO] = Priors(
                predictions[PLACEBO], interests_of_givers(predictions[LLM], predictions[PLACEBO], interests)
            )
    return found


def interests_of_givers(predictions: pd.DataFrame, shuffled: pd.DataFrame, interests: pd.DataFrame) -> pd.DataFrame:
    """For each user of `shuffled`, the interests of the user whose predictions those are.

    The giver is found by his list: equal to the last bit. Two users with one list have read the same, so whichever of
    them is found, the interests are the giver's.

    Args:
        predictions: one source's, with users as they are.
        shuffled: the same lists, dealt out among the users of each day.
        interests: of the users of `predictions`.
    """
    lists = [_lists(table) for table in (predictions, shuffled)]
    keys = ["day", "advertiser_id", "probability"]
    givers = lists[0].drop_duplicates(keys).rename(columns={"user_id": "giver"})
    pairs = lists[1].merge(givers, on=keys)[["day", "user_id", "giver"]]
    given = interests.assign(day=pd.to_datetime(interests["day"])).rename(columns={"user_id": "giver"})
    found = pairs.merge(given, on=["day", "giver"])
    return found[interests.columns].sort_values(["day", "user_id", "rank"], ignore_index=True)


def _lists(table: pd.DataFrame) -> pd.DataFrame:
    """One row a user and day: his advertisers and their probabilities, by rank."""
    ordered = table.assign(day=pd.to_datetime(table["day"])).sort_values(["day", "user_id", "rank"])
    return ordered.groupby(["day", "user_id"])[["advertiser_id", "probability"]].agg(tuple).reset_index()
