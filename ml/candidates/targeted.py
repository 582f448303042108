"""The targeted generators: ads of the advertisers, or of the categories, that a source predicts for a user.

The prediction says *whose* ads, or *about what*; the two-tower says *which* of them (its score, or popularity for a
user without a stream). Slots are dealt by D'Hondt's method of highest averages: the t-th ad of an advertiser
with probability p bids p / t, and the highest bids go first. That is the order of P(ad) if an
advertiser's conversions fall off over its ads as 1/t. With equal probabilities it is a round robin.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.candidates.ad_retrieval import COLUMNS, AdRetrieval
from ml.candidates.settings import CandidateSettings
from ml.candidates.table import INTEREST, TARGETED


def targeted(retrieval: AdRetrieval, predictions: pd.DataFrame, settings: CandidateSettings) -> pd.DataFrame:
    """Up to `budget` ads a user, at most `ads_per_advertiser` of one advertiser.

    Args:
        retrieval: the eligible ads of the day and the vectors that order them.
        predictions: rows of one source and day, see `ml.predictors.predictions`; advertisers without an
            eligible ad propose nothing.

    Returns:
        user_id, ad_id, advertiser_id, rank (1 = first dealt), score (the bid p / t), generator. Users
        ascending; a user without predictions has no rows.
    """
    rows = retrieval.ads.groupby("advertiser_id").indices
    ads_of = {str(name): np.sort(mine) for name, mine in rows.items()}
    wanted = predictions.rename(columns={"advertiser_id": "name"})[["user_id", "name", "rank", "probability"]]
    return _deal(retrieval, wanted, ads_of, settings.ads_per_advertiser, settings.budget, TARGETED)


def interesting(retrieval: AdRetrieval, interests: pd.DataFrame, settings: CandidateSettings) -> pd.DataFrame:
    """The same for predicted interests: up to `budget` ads a user, at most `ads_per_interest` of one interest.

    An interest is a category of ads, or a vertical of advertisers (that of off-site conversions).

    Args:
        retrieval: as above.
        interests: see `ml.llm.interests`; may be empty.
    """
    ads_of: dict[str, np.ndarray] = {}
    for column in ("vertical", "category"):
        for name, mine in retrieval.ads.groupby(column).indices.items():
            ads_of[str(name)] = np.union1d(ads_of.get(str(name), np.empty(0, np.int64)), mine)
    wanted = interests.rename(columns={"interest": "name"})[["user_id", "name", "rank", "probability"]]
    return _deal(retrieval, wanted, ads_of, settings.ads_per_interest, settings.budget, INTEREST)


def _deal(
    retrieval: AdRetrieval,
    wanted: pd.DataFrame,
    ads_of: dict[str, np.ndarray],
    most: int,
    budget: int,
    generator: str,
) -> pd.DataFrame:
    """Proposals by highest averages; an ad wanted by two names of a user stands once, with its higher bid."""
    proposals = _best_of_each(retrieval, wanted.reset_index(drop=True), ads_of, most)
    proposals["score"] = proposals["probability"] / proposals["turn"]
    proposals = proposals.sort_values(
        ["user_id", "score", "turn", "name_rank"], ascending=[True, False, True, True], ignore_index=True
    ).drop_duplicates(["user_id", "ad_id"], ignore_index=True)
    proposals["rank"] = proposals.groupby("user_id", sort=False).cumcount() + 1
    found: pd.DataFrame = proposals.loc[proposals["rank"] <= budget].reset_index(drop=True)
    return found.assign(generator=generator)[COLUMNS]


def _best_of_each(
    retrieval: AdRetrieval, wanted: pd.DataFrame, ads_of: dict[str, np.ndarray], most: int
) -> pd.DataFrame:
    """Each wanted name's best ads for the user: `turn` 1 is the best. One matrix product a name."""
    users = wanted["user_id"].to_numpy(dtype=object)
    vectors = retrieval.user_vectors(users)
    pair, ad, turn = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for name, mine in wanted.groupby("name").indices.items():
        ads = ads_of.get(str(name))
        if ads is None:
            continue
        # Ads lie most popular first, and a user without a vector scores all alike: popularity decides.
        scores = vectors[mine] @ retrieval.ad_factors[ads].T
        for row, user in enumerate(users[mine] if retrieval.barred else ()):
            if user in retrieval.barred:
                scores[row, np.isin(ads, retrieval.barred[user].columns)] = -np.inf
        best = np.argsort(-scores, axis=1, kind="stable")[:, :most]
        shown = np.isfinite(np.take_along_axis(scores, best, axis=1)).ravel()
        pair.append(np.repeat(mine, best.shape[1])[shown])
        ad.append(ads[best.ravel()][shown])
        turn.append(np.tile(np.arange(1, best.shape[1] + 1), len(mine))[shown])
    chosen, of = np.concatenate(ad), wanted.iloc[np.concatenate(pair)]
    return pd.DataFrame(
        {
            "user_id": of["user_id"].to_numpy(dtype=object),
            "ad_id": retrieval.ads["ad_id"].to_numpy(dtype=object)[chosen],
            "advertiser_id": retrieval.ads["advertiser_id"].to_numpy(dtype=object)[chosen],
            "name_rank": of["rank"].to_numpy(),
            "probability": of["probability"].to_numpy(np.float64),
            "turn": np.concatenate(turn),
        }
    )
