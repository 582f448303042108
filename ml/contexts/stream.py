"""Stream: one chronological, prefix-stable sequence of a user's events, after a static profile.

Events are searches, visits, saves and conversions, ordered by when they became known
(`coalesce(known_at, event_time)`), then by id. No aggregate of events stands before an event, so what
is computed at position j depends on nothing at or after j, and every earlier snapshot of a user is a
prefix of a later one.

A *position* p (0..n) is "after the first p events": what a predictor reading there has seen is the
profile and events 0..p-1.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

PROFILE_FIELDS = ("age_bucket", "gender", "region")
EVENT_FIELDS = ("kind", "text", "category", "advertiser_id", "advertiser_name")
"""The allow-list: no other column of the logs can reach a prompt or a predictor."""


@dataclass(frozen=True)
class UserContexts:
    """Streams of many users at the end of one day, users in ascending `user_id`.

    Attributes:
        as_of: the day; every event was known by its end.
        users: one row a user: `user_id` and PROFILE_FIELDS (null where unknown). RangeIndex.
        events: all users' events back to back: `user` (row in `users`), `time` (when known),
            `event_time`, and EVENT_FIELDS (kind: search, visit, save, conversion). RangeIndex.
        offsets: shape (n_users + 1,): events of user i are rows offsets[i]:offsets[i + 1].
    """

    as_of: date
    users: pd.DataFrame
    events: pd.DataFrame
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.users)

    @property
    def user_ids(self) -> np.ndarray:
        return self.users["user_id"].to_numpy()

    def take(self, rows: np.ndarray) -> UserContexts:
        """The contexts of some users (ascending row numbers), as a self-contained object."""
        rows = np.asarray(rows)
        lengths = np.diff(self.offsets)[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        keep = np.repeat(self.offsets[rows] - offsets[:-1], lengths) + np.arange(offsets[-1])
        events = self.events.iloc[keep].reset_index(drop=True)
        events["user"] = np.repeat(np.arange(len(rows)), lengths)
        return UserContexts(self.as_of, self.users.iloc[rows].reset_index(drop=True), events, offsets)

    def conversions(self) -> pd.DataFrame:
        """The conversion events only: `user` (row), `position`, `advertiser_id`, `time`."""
        mine = self.events["kind"].to_numpy() == "conversion"
        found: pd.DataFrame = self.events.loc[mine, ["user", "advertiser_id", "time"]]
        return found.assign(position=np.flatnonzero(mine) - self.offsets[found["user"].to_numpy()])


@dataclass(frozen=True)
class TrainingExamples:
    """Streams at the predictor cutoff with one target per conversion in them.

    Attributes:
        contexts: every consenting user's stream at the Timeline's predictor cutoff.
        targets: one row a conversion: `user` (row), `position` (read there: after the last event known
            before the conversion's UTC day began), `advertiser_id`, `event_time`, `known_at`,
            `visible_until` (time of the event before `position`, or NaT), `interest` (category of the
            conversion, or null).
        catalogue: the advertisers eligible on the cutoff day, see `ml.predictors.catalogue`.
    """

    contexts: UserContexts
    targets: pd.DataFrame
    catalogue: pd.DataFrame

    def take(self, rows: np.ndarray) -> TrainingExamples:
        """The examples of some users (ascending row numbers)."""
        renumber = pd.Series(np.arange(len(rows)), index=rows)
        targets = self.targets[self.targets["user"].isin(rows)].copy()
        targets["user"] = renumber.loc[targets["user"]].to_numpy()
        return TrainingExamples(self.contexts.take(rows), targets.reset_index(drop=True), self.catalogue)
