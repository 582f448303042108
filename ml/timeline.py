"""Timeline: every cutoff of one snapshot day, in one place.

    predictor labels known by | ranker impressions | calibration | outcomes close | test ... outcomes
    ------------------------- | ------------------ | ----------- | -------------- | -----------------
    small world:   up to d31  |      d32..d41      |  d42..d45   |   as_of = d52  |  d53..d59  to d66

Everything left of `as_of` may be seen by something that is trained; nothing right of it may. A split
ends `outcome_days` before the moment it is used, so that its labels are known (`known_at`) by then. The
prior of an impression comes from the last snapshot before its day, by a model whose labels were all
known by that snapshot.

It does not know how contexts are rendered or models trained: it only says which days are whose, and
`check_*` raise when rows break that.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from ml.errors import TimelineViolation


class TimelineSettings(BaseModel):
    """How long each slice of the Timeline is, in days."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    label_window_days: int = Field(7, ge=1)
    """w: a label is the first advertiser converted with in days x+1..x+w."""
    outcome_days: int = Field(7, ge=0)
    """Days after an impression until its conversions are known; 0 for logs without reporting delay."""
    ranker_days: int = Field(10, ge=1)
    """Days of impressions the ranker trains on."""
    calibration_days: int = Field(4, ge=1)
    """Days of impressions its calibrator is fitted on, after the training days."""
    snapshot_every_days: int = Field(7, ge=1)
    """Days between the past snapshots that give ranker impressions their priors."""


def end_of(day: date) -> datetime:
    """First instant after `day` (UTC, naive): `t < end_of(x)` means "by the end of day x"."""
    return datetime.combine(day + timedelta(days=1), time())


@dataclass(frozen=True)
class Window:
    """Whole days, both ends included."""

    first: date
    last: date

    def __contains__(self, day: date) -> bool:
        return self.first <= day <= self.last

    @property
    def days(self) -> list[date]:
        return [self.first + timedelta(days=i) for i in range((self.last - self.first).days + 1)]

    def __str__(self) -> str:
        return f"{self.first}..{self.last}"


@dataclass(frozen=True)
class Timeline:
    """The cutoffs of snapshot day `as_of`; see the drawing above."""

    as_of: date
    settings: TimelineSettings

    @property
    def calibration(self) -> Window:
        last = self.as_of - timedelta(days=self.settings.outcome_days)
        return Window(last - timedelta(days=self.settings.calibration_days - 1), last)

    @property
    def ranker(self) -> Window:
        last = self.calibration.first - timedelta(days=1)
        return Window(last - timedelta(days=self.settings.ranker_days - 1), last)

    @property
    def predictor_cutoff(self) -> date:
        """Last day by whose end a predictor's training labels must be known."""
        return self.ranker.first - timedelta(days=1)

    @property
    def validation(self) -> Window:
        """The label window of the predictor cutoff: sources are tuned on it, as far as it is known by `as_of`."""
        first = self.predictor_cutoff + timedelta(days=1)
        return Window(first, first + timedelta(days=self.settings.label_window_days - 1))

    @property
    def test(self) -> Window:
        """The label window of `as_of`."""
        return Window(self.as_of + timedelta(days=1), self.as_of + timedelta(days=self.settings.label_window_days))

    @property
    def test_closes(self) -> date:
        """Day by whose end every test outcome is known."""
        return self.test.last + timedelta(days=self.settings.outcome_days)

    @property
    def past_snapshots(self) -> list[date]:
        """Snapshots that give ranker and calibration impressions their priors, oldest first."""
        step = timedelta(days=self.settings.snapshot_every_days)
        days, day = [], self.predictor_cutoff
        while day < self.calibration.last:
            days.append(day)
            day += step
        return days

    def snapshot_before(self, day: date) -> date:
        """Snapshot whose predictions are the priors on `day`: the last one strictly before it.

        Raises:
            TimelineViolation: `day` lies before every snapshot.
        """
        before = [s for s in [*self.past_snapshots, self.as_of] if s < day]
        if not before:
            raise TimelineViolation(f"{day} has no snapshot before it: the first one is {self.predictor_cutoff}")
        return before[-1]

    @classmethod
    def newest_closed(cls, last_day: date, settings: TimelineSettings) -> Timeline:
        """Timeline of the newest day whose test outcomes are all known by `last_day`."""
        return cls(last_day - timedelta(days=settings.label_window_days + settings.outcome_days), settings)

    @classmethod
    def earliest(cls, first_day: date, settings: TimelineSettings) -> Timeline:
        """Timeline of the first day whose training labels can lie in logs that begin on `first_day`."""
        return cls(first_day + (first_day - cls(first_day, settings).predictor_cutoff), settings)

    # --- rules: each raises TimelineViolation naming the rule and a row ---------------------------

    def check_training_targets(self, targets: pd.DataFrame) -> None:
        """No training label known after the cutoff, none visible in its own history.

        Args:
            targets: one row a label, with `known_at`, `event_time` and `visible_until` (time of the last
                event the predictor reads before it; NaT if it reads none).
        """
        cutoff = self.predictor_cutoff
        _reject(targets, targets[["known_at", "event_time"]].isna().any(axis=1), "label without a time")
        _reject(targets, targets["known_at"] >= end_of(cutoff), f"label known after {cutoff}")
        _reject(targets, targets["visible_until"] >= targets["event_time"], "history reaches into the label")

    def check_contexts(self, events: pd.DataFrame) -> None:
        """No event in a context of `as_of` that was not known by its end (`time` = when it was known)."""
        _reject(events, events["time"].isna(), "event without a time")
        _reject(events, events["time"] >= end_of(self.as_of), f"event known after {self.as_of}")

    def check_ranker_rows(self, rows: pd.DataFrame, *, model_known_until: date) -> None:
        """Splits are disjoint in time and labels closed; a prior is older than the impression it serves.

        Args:
            rows: one row an impression, with `day` (date), `split` ("train" or "calibration"),
                `label_closes` (date by whose end its label is final) and `prior_day` (date or null).
            model_known_until: last day of labels the predictor behind the priors has seen.
        """
        windows = {"train": self.ranker, "calibration": self.calibration}
        _reject(rows, ~rows["split"].isin(list(windows)), f"split other than {', '.join(windows)}")
        for split, window in windows.items():
            mine = rows["split"] == split
            outside = (rows["day"] < window.first) | (rows["day"] > window.last)
            _reject(rows, mine & outside, f"{split} impression outside {window}")
        _reject(rows, rows["label_closes"] > self.as_of, f"label not closed by {self.as_of}")
        has_prior = rows["prior_day"].notna()
        priors = rows[has_prior]
        _reject(priors, priors["prior_day"] >= priors["day"], "prior not older than its impression")
        stale = priors["prior_day"] < model_known_until
        _reject(priors, stale, f"prior from before its model's last label ({model_known_until})")

    def check_validation_labels(self, labels: pd.DataFrame) -> None:
        """Validation labels lie after the predictor cutoff and were known by `as_of` (`event_time`, `known_at`)."""
        _reject(labels, labels[["event_time", "known_at"]].isna().any(axis=1), "validation label without a time")
        early = labels["event_time"] < end_of(self.predictor_cutoff)
        late = labels["event_time"] >= end_of(self.validation.last)
        _reject(labels, early | late, f"validation label outside {self.validation}")
        _reject(labels, labels["known_at"] >= end_of(self.as_of), f"validation label known after {self.as_of}")

    def check_test_labels(self, labels: pd.DataFrame) -> None:
        """Test labels lie in the label window and were known by its close (`event_time`, `known_at`)."""
        _reject(labels, labels[["event_time", "known_at"]].isna().any(axis=1), "test label without a time")
        early = labels["event_time"] < end_of(self.as_of)
        late = labels["event_time"] >= end_of(self.test.last)
        _reject(labels, early | late, f"test label outside {self.test}")
        _reject(labels, labels["known_at"] >= end_of(self.test_closes), f"test label known after {self.test_closes}")


def _reject(rows: pd.DataFrame, broken: pd.Series, rule: str) -> None:
    if broken.any():
        example = rows[broken].iloc[0].to_dict()
        raise TimelineViolation(f"{int(broken.sum())} of {len(rows)} rows break the rule '{rule}'; first: {example}")
