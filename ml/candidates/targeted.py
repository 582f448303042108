"""The advertiser-targeted generator: ads of the advertisers that a source predicts for a user.

The prediction says *whose* ads; the factorisation says *which* of them (its score, or popularity for a
user it does not know). Slots are dealt by D'Hondt's method of highest averages: the t-th ad of an advertiser
with probability p bids p / t, and the highest bids go first. That is the order of P(ad) if an
advertiser's conversions fall off over its ads as 1/t. With equal probabilities it is a round robin.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.candidates.ad_retrieval import COLUMNS, AdRetrieval
from ml.candidates.settings import CandidateSettings

TARGETED = "targeted"


def targeted(retrieval: AdRetrieval, predictions: pd.DataFrame, settings: CandidateSettings) -> pd.DataFrame:
    """Up to `budget` ads a user, at most `ads_per_advertiser` of one advertiser.

    Args:
        retrieval: the eligible ads of the day and the vectors that order them.
        predictions: rows of one source and day, see `ml.predictions`; advertisers without an
            eligible ad propose nothing.

    Returns:
        user_id, ad_id, advertiser_id, rank (1 = first dealt), score (the bid p / t), generator. Users
        ascending; a user without predictions has no rows.
    """
    proposals = _ads_of_predicted(retrieval, predictions, settings.ads_per_advertiser)
    proposals["score"] = proposals["probability"] / proposals["turn"]
    proposals = proposals.sort_values(
        ["user_id", "score", "turn", "advertiser_rank"], ascending=[True, False, True, True], ignore_index=True
    )
    proposals["rank"] = proposals.groupby("user_id", sort=False).cumcount() + 1
    found: pd.DataFrame = proposals.loc[proposals["rank"] <= settings.budget].reset_index(drop=True)
    return found.assign(generator=TARGETED)[COLUMNS]


def _ads_of_predicted(retrieval: AdRetrieval, predictions: pd.DataFrame, most: int) -> pd.DataFrame:
    """Each predicted advertiser's best ads for the user: `turn` 1 is the best. One matrix product an advertiser."""
    ads_of = {str(name): np.sort(rows) for name, rows in retrieval.ads.groupby("advertiser_id").indices.items()}
    vectors = retrieval.user_vectors(predictions["user_id"].to_numpy())
    pair, ad, turn = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for name, mine in predictions.groupby("advertiser_id").indices.items():
        ads = ads_of.get(str(name))
        if ads is None:
            continue
        # Ads lie most popular first, and a user without a vector scores all alike: popularity decides.
        scores = vectors[mine] @ retrieval.ad_factors[ads].T
        best = np.argsort(-scores, axis=1, kind="stable")[:, :most]
        pair.append(np.repeat(mine, best.shape[1]))
        ad.append(ads[best.ravel()])
        turn.append(np.tile(np.arange(1, best.shape[1] + 1), len(mine)))
    predicted, chosen = predictions.iloc[np.concatenate(pair)], np.concatenate(ad)
    return pd.DataFrame(
        {
            "user_id": predicted["user_id"].to_numpy(),
            "ad_id": retrieval.ads["ad_id"].to_numpy(dtype=object)[chosen],
            "advertiser_id": predicted["advertiser_id"].to_numpy(),
            "advertiser_rank": predicted["rank"].to_numpy(),
            "probability": predicted["probability"].to_numpy(),
            "turn": np.concatenate(turn),
        }
    )
