"""Point-in-time features: against a slow oracle, and blind to everything known on the row's day or later."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.errors import BadInput
from ml.ranking.blocks import NEVER, SMOOTHING, UNKNOWN
from ml.ranking.counts import HALF_LIFE
from ml.ranking.features import FEATURES_BASE, build_features, feature_code
from tests.lakes import Frames, known_at, known_by, random_frames, scramble_future, write_lake

FIRST = date(2024, 1, 1)


def world(seed: int, days: int = 36) -> Frames:
    """A random lake of some weeks in which ads change price, and conversions name impressions now and then."""
    rng = np.random.default_rng(seed)
    frames = random_frames(rng, first=FIRST, n_days=days, n_users=4, n_advertisers=4, events_per_user=30)
    conversions, shown = frames["conversions"], frames["impressions"]["impression_id"].to_numpy()
    conversions["impression_id"] = np.where(
        rng.random(len(conversions)) < 0.5, rng.choice(shown, len(conversions)), None
    )
    later = frames["ads"].sample(frac=0.5, random_state=seed)
    moved = [min(day + timedelta(days=int(rng.integers(1, 20))), FIRST + timedelta(days=days)) for day in later["_day"]]
    frames["ads"] = pd.concat([frames["ads"], later.assign(price=later["price"] + 1, _day=moved)], ignore_index=True)
    return frames


def some_rows(frames: Frames, rng: np.random.Generator, n: int, day: date | None = None) -> pd.DataFrame:
    """Any user (some not in the register) with any ad, on any day from the start to past the end."""
    ads = frames["ads"].drop_duplicates("ad_id").sort_values("ad_id")
    chosen = ads.iloc[rng.integers(0, len(ads), n)]
    days = [day or FIRST + timedelta(days=int(k)) for k in rng.integers(0, 40, n)]
    return pd.DataFrame(
        {
            "user_id": rng.choice([f"u{i:02d}" for i in range(5)], n),
            "ad_id": chosen["ad_id"].to_numpy(),
            "advertiser_id": chosen["advertiser_id"].to_numpy(),
            "day": days,
            "surface": rng.choice(np.array(["home", "search", None], dtype=object), n),
        }
    )


class Oracle:
    """Everything known by the end of the day before, as event lists, counted one feature at a time."""

    def __init__(self, frames: Frames, row: pd.Series) -> None:
        self.day, self.row = row["day"], row
        self.past = {name: known_by(name, frame, self.day - timedelta(days=1)) for name, frame in frames.items()}
        self.filed = {
            name: self.past[name].sort_values("_day").drop_duplicates(self.past[name].columns[0]).set_index(key)
            for name, key in (("ads", "ad_id"), ("advertisers", "advertiser_id"))
        }
        self.events = [*self._activity(), *self._shown(), *self._clicked(), *self._converted()]

    def _filed(self, table: str, key: str, column: str) -> tuple[str | None, date]:
        register = self.filed[table]
        return (register.loc[key, column], register.loc[key, "_day"]) if key in register.index else (None, date.min)

    def _vertical_of_category(self, category: str | None) -> tuple[str | None, date]:
        found = []
        for ad_id, ad in self.filed["ads"].iterrows():
            vertical, filed = self._filed("advertisers", ad["advertiser_id"], "vertical")
            if ad["category"] == category and vertical is not None:
                found.append((max(ad["_day"], filed), ad_id, vertical))
        return (min(found)[2], min(found)[0]) if found else (None, date.min)

    def _activity(self):
        for e in self.past["activity"].itertuples():
            at = e.event_time.date()
            alone = pd.isna(e.advertiser_id)
            vertical, filed = (
                self._vertical_of_category(e.category)
                if alone
                else self._filed("advertisers", e.advertiser_id, "vertical")
            )
            yield {
                "measure": "searches" if e.kind == "search" else "visits",
                "user": e.user_id,
                "advertiser": None if alone else e.advertiser_id,
                "at": at,
                "category": (e.category, at),
                "vertical": (vertical, max(at, filed)),
            }

    def _shown(self):
        for e in self.past["impressions"].itertuples():
            advertiser, filed = self._filed("ads", e.ad_id, "advertiser_id")
            if advertiser is not None:
                at = max(e.event_time.date(), filed)
                yield {"measure": "impressions", "user": e.user_id, "advertiser": advertiser, "ad": e.ad_id, "at": at}

    def _clicked(self):
        shown = self.past["impressions"].set_index("impression_id")
        for e in self.past["clicks"].itertuples():
            user, ad, moment = shown.loc[e.impression_id, ["user_id", "ad_id", "event_time"]]
            advertiser, filed = self._filed("ads", ad, "advertiser_id")
            if advertiser is not None:
                at = max(e.event_time.date(), moment.date(), filed)
                yield {"measure": "clicks", "user": user, "advertiser": advertiser, "ad": ad, "at": at}

    def _converted(self):
        known = known_at("conversions", self.past["conversions"])
        for e, moment in zip(self.past["conversions"].itertuples(), known, strict=True):
            at = moment.date()
            category, ad_filed = self._filed("ads", e.ad_id, "category")
            vertical, filed = self._filed("advertisers", e.advertiser_id, "vertical")
            event = {"user": e.user_id, "advertiser": e.advertiser_id, "ad": e.ad_id, "at": at}
            event |= {"category": (category, max(at, ad_filed)), "vertical": (vertical, max(at, filed))}
            yield event | {"measure": "conversions"}
            if not pd.isna(e.impression_id):
                yield event | {"measure": "attributed"}

    def count(self, measure: str, days: float, **wanted: str | None) -> int:
        """Days inf: since ever."""
        first = self.day - timedelta(days=days) if math.isfinite(days) else date.min
        return sum(first <= at < self.day for at in self.days_of(measure, **wanted))

    def decayed(self, measure: str, **wanted: str | None) -> float:
        ages = [(self.day - at).days - 1 for at in self.days_of(measure, **wanted) if at < self.day]
        return sum(0.5 ** (age / HALF_LIFE) for age in ages)

    def days_of(self, measure: str, **wanted: str | None) -> list[date]:
        found_days = []
        for event in self.events:
            at = event["at"]
            for name, value in wanted.items():
                found = event.get(name)
                if name in ("category", "vertical"):
                    found, at = found or (None, at)
                if value is None or found != value:
                    break
            else:
                if event["measure"] == measure:
                    found_days.append(at)
        return found_days

    def features(self) -> dict[str, float]:
        row, out = self.row, {}
        ad = self.past["ads"].query("ad_id == @row.ad_id").sort_values("_day")
        category = ad["category"].iloc[-1] if len(ad) else None
        vertical = self._filed("advertisers", row["advertiser_id"], "vertical")[0]
        profile = self.past["users"].query("user_id == @row.user_id").sort_values(["updated_at", "_day"])
        texts = {"category": category, "vertical": vertical, "surface": row["surface"]}
        texts |= {f: profile[f].iloc[-1] if len(profile) else None for f in ("age_bucket", "gender", "region")}
        out |= {f"{name}_code": 0.0 if pd.isna(value) else feature_code(value) for name, value in texts.items()}
        out["ad_log_price"] = math.log1p(ad["price"].iloc[-1]) if len(ad) else -1.0
        out["ad_age_days"] = (self.day - ad["_day"].iloc[0]).days if len(ad) else -1.0
        keys = {
            "user": {"user": row["user_id"]},
            "user_advertiser": {"user": row["user_id"], "advertiser": row["advertiser_id"]},
            "user_ad": {"user": row["user_id"], "ad": row["ad_id"]},
            "user_category": {"user": row["user_id"], "category": category},
            "user_vertical": {"user": row["user_id"], "vertical": vertical},
            "advertiser": {"advertiser": row["advertiser_id"]},
            "ad": {"ad": row["ad_id"]},
        }
        for name in FEATURES_BASE:
            *words, span = name.split("_")
            if words[-1] in ("searches", "visits", "impressions", "clicks", "conversions", "attributed"):
                key = keys["_".join(words[:-1])]
                days = math.inf if span in ("all", "decayed") else int(span.removesuffix("d"))
                counted = self.decayed(words[-1], **key) if span == "decayed" else self.count(words[-1], days, **key)
                out[name] = counted
        for name in ("user", "user_advertiser"):
            days = [k for k in range(1, 70) if self.count("conversions", k, **keys[name])]
            out[f"{name}_days_since_conversion"] = days[0] if days else NEVER
        for rate, measure in (("ctr", "clicks"), ("cvr", "attributed")):
            above = self.count(measure, 28) / max(1, self.count("impressions", 28))
            for name in ("advertiser", "ad"):
                shown = self.count("impressions", 28, **keys[name])
                above = (self.count(measure, 28, **keys[name]) + SMOOTHING * above) / (shown + SMOOTHING)
                out[f"{name}_{rate}_28d"] = above
        total = out["user_searches_28d"] + out["user_visits_28d"]
        for name in ("category", "vertical"):
            mine = out[f"user_{name}_searches_28d"] + out[f"user_{name}_visits_28d"]
            out[f"user_{name}_share_28d"] = mine / max(1, total)
        return out | {"user_p_converts": UNKNOWN}


@pytest.mark.parametrize("seed", [0, 1])
def test_features_equal_the_slow_oracle(tmp_path, seed):
    frames = world(seed)
    rows = some_rows(frames, np.random.default_rng(seed + 10), 40)
    features = build_features(write_lake(frames, tmp_path), rows)
    expected = pd.DataFrame([Oracle(frames, row).features() for _, row in rows.iterrows()])
    assert set(expected.columns) == set(FEATURES_BASE)
    pd.testing.assert_frame_equal(features, expected[FEATURES_BASE].astype(np.float32), rtol=1e-5)
    used = {name for name in FEATURES_BASE if len(features[name].unique()) > 1}
    assert len(used) > 0.8 * len(FEATURES_BASE), "the construction must exercise the features"


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10_000), ahead=st.integers(5, 34))
def test_nothing_known_on_the_day_or_later_changes_a_feature(tmp_path_factory, seed, ahead):
    rng = np.random.default_rng(seed)
    frames, day = world(seed), FIRST + timedelta(days=ahead)
    rows = some_rows(frames, rng, 25, day)
    other = scramble_future(frames, day - timedelta(days=1), rng)
    before = build_features(write_lake(frames, tmp_path_factory.mktemp("a")), rows)
    after = build_features(write_lake(other, tmp_path_factory.mktemp("b")), rows)
    pd.testing.assert_frame_equal(before, after)


def changed_by(frames: Frames, rows: pd.DataFrame, root_of: Callable[[str], object], cut: date) -> int:
    other = scramble_future(frames, cut, np.random.default_rng(0))
    before = build_features(write_lake(frames, root_of("a")), rows)
    return int((before != build_features(write_lake(other, root_of("b")), rows)).any().sum())


def test_the_leak_test_can_fail(tmp_path_factory):
    """Scrambling one week further back does change features."""
    frames, day = world(5), FIRST + timedelta(days=30)
    rows = some_rows(frames, np.random.default_rng(0), 25, day)
    assert changed_by(frames, rows, tmp_path_factory.mktemp, day - timedelta(days=8)) > 10


def test_rows_keep_order_and_index_and_a_missing_column_is_named(tmp_path):
    frames = world(1)
    lake = write_lake(frames, tmp_path)
    rows = some_rows(frames, np.random.default_rng(0), 12)
    shuffled = rows.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(build_features(lake, shuffled), build_features(lake, rows).loc[shuffled.index])
    with pytest.raises(BadInput, match="surface"):
        build_features(lake, rows.drop(columns="surface"))


def test_a_profile_changes_on_the_day_after_it_was_known_and_never_back(tmp_path):
    """Three versions: the second known at midnight of Jan 5; the third delivered on Jan 8 but older than the second."""
    jan = [date(2024, 1, day) for day in range(1, 12)]
    users = pd.DataFrame({"user_id": "u", "age_bucket": None, "gender": None, "consent": True}, index=range(3))
    users = users.assign(region=["old", "new", "late"], _day=[jan[0], jan[3], jan[7]])
    users["updated_at"] = pd.to_datetime(["2024-01-01 09:00", "2024-01-05 00:00", "2024-01-04 23:59"])
    lake = write_lake({"users": users}, tmp_path)
    rows = pd.DataFrame({"user_id": "u", "ad_id": "x", "advertiser_id": "a", "day": jan, "surface": None})
    codes = build_features(lake, rows)["region_code"].tolist()
    old, new = feature_code("old"), feature_code("new")
    assert codes == [0.0, *[old] * 4, *[new] * 6]
