"""Positives of the retrieval model: which ad each user turned to, on which day, and where his stream is read for it.

    objective    | positives                                   | weight
    -------------|---------------------------------------------|---------------------------------------------
    clicks       | clicks                                      | 1
    dwell        | clicks                                      | log(1 + dwell seconds) over its mean; 1 if unknown
    conversions  | conversions with a known ad                 | 1

A positive is read at the position before its UTC day began, as a forecast made the night before would. Only what
`as_of` knew counts, of users who have a stream. It knows no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from ml.candidates.settings import TowerSettings
from ml.contexts.examples import known_before_day
from ml.contexts.stream import UserContexts
from ml.lake import Lake
from ml.predictors.histories import days_since_1970

_CLICKED = """
SELECT i.user_id, i.ad_id, c.event_time, c.dwell_seconds, c.click_id AS id
FROM clicks c JOIN impressions i USING (impression_id)
"""
_CONVERTED = """
SELECT user_id, ad_id, event_time, NULL::DOUBLE AS dwell_seconds, conversion_id AS id
FROM conversions WHERE ad_id IS NOT NULL
"""


@dataclass(frozen=True)
class Positives:
    """One row a positive, oldest first.

    Attributes:
        user: shape (n,), row of the contexts.
        position: shape (n,), events of the stream that are read.
        ad: shape (n,), row of the ads.
        day: shape (n,), days since 1970, whole.
        weight: shape (n,), of the loss.
    """

    user: np.ndarray
    position: np.ndarray
    ad: np.ndarray
    day: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.user)

    def take(self, rows: np.ndarray) -> Positives:
        """Some of them: a mask, or row numbers."""
        return Positives(self.user[rows], self.position[rows], self.ad[rows], self.day[rows], self.weight[rows])


def read_positives(
    lake: Lake, as_of: date, contexts: UserContexts, ads: pd.DataFrame, settings: TowerSettings
) -> Positives:
    """The positives known by the end of `as_of`; the newest `max_positives` of them.

    Args:
        lake: validated logs.
        as_of: the model's cutoff, the day of `contexts`.
        contexts: consenting users' streams; others have no positives.
        ads: column ad_id, see `ml.candidates.ad_tokens.known_ads`.
        settings: objective and number.
    """
    query = _CONVERTED if settings.objective == "conversions" else _CLICKED
    with lake.connect(as_of=as_of) as con:
        con.register("members", contexts.users[["user_id"]])
        con.register("shown", ads[["ad_id"]])
        found = con.execute(
            f"SELECT * FROM ({query}) SEMI JOIN members USING (user_id) SEMI JOIN shown USING (ad_id) "
            "ORDER BY event_time DESC, id DESC LIMIT $most",
            {"most": settings.max_positives},
        ).df()
    found = found.iloc[::-1].reset_index(drop=True)
    user = pd.Index(contexts.users["user_id"]).get_indexer(pd.Index(found["user_id"]))
    return Positives(
        user=user,
        position=known_before_day(contexts, user, found["event_time"]) - contexts.offsets[user],
        ad=pd.Index(ads["ad_id"]).get_indexer(pd.Index(found["ad_id"])),
        day=np.floor(days_since_1970(found["event_time"])).astype(np.int64),
        weight=_dwell_weight(found["dwell_seconds"]) if settings.objective == "dwell" else np.ones(len(found)),
    )


def _dwell_weight(seconds: pd.Series) -> np.ndarray:
    weight = np.log1p(seconds.astype("float64"))
    mean = weight.mean()
    if not mean > 0:
        return np.ones(len(seconds))
    return np.asarray((weight / mean).fillna(1.0), dtype=np.float64)
