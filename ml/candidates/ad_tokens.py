"""Ads in numbers: what the ad tower reads of an ad, and when the ad could be shown.

An ad is its advertiser, category, title words (hashed as those of searches are), price, and, if the training knew it,
itself. Its age is no part of this: it belongs to the moment the ad is looked at, see `age_bucket`. It knows no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import duckdb
import numpy as np
import pandas as pd

from ml.contexts.stream import PROFILE_FIELDS, UserContexts
from ml.predictors.histories import columns_of, days_since_1970
from ml.predictors.sequence_tokens import KNOWN, NONE, UNKNOWN, Vocabulary, hashed_words

AGE_BUCKETS = 12
"""Unknown, then doubling: less than a day, 1-2, 3-6, 7-14, ... days."""
_BUCKET_OF_AGE = 1 + np.floor(np.log2(1 + np.arange(2 ** (AGE_BUCKETS - 2)))).astype(np.int64)
_ADS = """
SELECT ad_id, advertiser_id, title, ads.category, price, created_at, vertical, active_from, active_to
FROM ads JOIN advertisers USING (advertiser_id) ORDER BY ad_id
"""


def known_ads(con: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Every ad that a lake connection shows, whether it may be shown or not, ascending by ad_id.

    Returns:
        ad_id, advertiser_id, title, category, price, created_at, vertical, active_from, active_to. RangeIndex.
    """
    return con.execute(_ADS).df()


@dataclass(frozen=True)
class AdVocabulary:
    """What the towers have an embedding for."""

    stream: Vocabulary
    """Advertisers are those of the training's ads."""
    ad_ids: np.ndarray
    """The training's ads, ascending."""
    price_mean: float
    """Of log(1 + price)."""
    price_deviation: float

    @classmethod
    def of(cls, contexts: UserContexts, ads: pd.DataFrame, word_buckets: int) -> AdVocabulary:
        price = np.log1p(ads["price"].dropna().to_numpy(np.float64))
        categories = set(contexts.events["category"].dropna()) | set(ads["category"].dropna())
        stream = Vocabulary(
            advertiser_ids=np.array(sorted(set(ads["advertiser_id"])), dtype=object),
            categories=np.array(sorted(categories), dtype=object),
            profiles=tuple(np.array(sorted(contexts.users[f].dropna().unique()), dtype=object) for f in PROFILE_FIELDS),
            word_buckets=word_buckets,
        )
        mean, deviation = (float(price.mean()), float(price.std())) if len(price) else (0.0, 1.0)
        return cls(stream, ads["ad_id"].to_numpy(dtype=object), mean, max(deviation, 1e-3))


@dataclass(frozen=True)
class AdTokens:
    """Some ads in the numbers of a vocabulary.

    Attributes:
        itself: shape (n_ads,): 1 + row in `AdVocabulary.ad_ids`, 0 for an ad the training did not know.
        advertiser, category: shape (n_ads,): NONE, UNKNOWN, KNOWN + row.
        price: shape (n_ads, 2), float32: log(1 + price), standardised (0 where unknown); is it unknown?
        words: hashed title words of each ad.
        opens, closes: shape (n_ads,): days since 1970 of the first and last day it could be shown, -inf and inf where
            nothing is known.
        created: shape (n_ads,): days since 1970, nan where unknown.
    """

    itself: np.ndarray
    advertiser: np.ndarray
    category: np.ndarray
    price: np.ndarray
    words: list[np.ndarray]
    opens: np.ndarray
    closes: np.ndarray
    created: np.ndarray


def tokenize_ads(ads: pd.DataFrame, vocabulary: AdVocabulary) -> AdTokens:
    """Ads (columns of `known_ads`) in numbers."""
    stream, price = vocabulary.stream, ads["price"].to_numpy(np.float64)
    missing = np.isnan(price)
    scaled = (np.log1p(np.where(missing, 0.0, price)) - vocabulary.price_mean) / vocabulary.price_deviation
    titles, distinct = pd.factorize(ads["title"])
    words = [*(hashed_words(str(title), stream.word_buckets) for title in distinct), np.empty(0, dtype=np.int64)]
    created, begins = _days(ads["created_at"]), _days(ads["active_from"])
    return AdTokens(
        itself=columns_of(ads["ad_id"], vocabulary.ad_ids) + 1,
        advertiser=_numbers(ads["advertiser_id"], stream.advertiser_ids),
        category=_numbers(ads["category"], stream.categories),
        price=np.stack([np.where(missing, 0.0, scaled), missing], axis=1).astype(np.float32),
        words=[words[title] for title in titles],
        opens=np.fmax(np.fmax(np.floor(created), begins), -np.inf),
        closes=np.fmin(_days(ads["active_to"]), np.inf),
        created=created,
    )


def age_bucket(created: np.ndarray, day: np.ndarray | float) -> np.ndarray:
    """Bucket (0..AGE_BUCKETS - 1) of the age of ads on a day.

    Args:
        created: days since 1970, nan where unknown.
        day: days since 1970; broadcast against `created`.
    """
    unknown = np.isnan(created)
    age = np.floor(day) - np.floor(np.where(unknown, 0.0, created))
    bucket = _BUCKET_OF_AGE[np.clip(age, 0, len(_BUCKET_OF_AGE) - 1).astype(np.int64)]
    return np.where(unknown, 0, bucket)


def day_number(day: date) -> int:
    """Days since 1970."""
    return (day - date(1970, 1, 1)).days


def _days(times: pd.Series) -> np.ndarray:
    days = days_since_1970(times)
    return np.where(times.isna().to_numpy(), np.nan, days)


def _numbers(column: pd.Series, vocabulary: np.ndarray) -> np.ndarray:
    found = columns_of(column, vocabulary)
    return np.where(column.isna().to_numpy(), NONE, np.where(found < 0, UNKNOWN, found + KNOWN))
