"""Contract of every source of advertiser predictions: subclass `PredictorContract` and write `make`.

    class TestPopularity(PredictorContract):
        wins = ("fashion",)
        def make(self): return Popularity()

The worlds are truths by construction: which advertiser a user converts with next is known. A source names
in `wins` those it must beat chance in by a wide margin.

    fashion:      everybody converts with one of a few advertisers.
    habit:        every user returns to an advertiser of his own.
    checkerboard: users and advertisers fall in groups; users convert within their group, each time with an
                  advertiser new to them.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd

from ml.contexts.stream import PROFILE_FIELDS, TrainingExamples, UserContexts
from ml.predictors.base import AdvertiserPredictor
from ml.predictors.predictions import violations

AS_OF = date(2026, 3, 31)
ADVERTISERS = 24
GROUPS = 4
OUTSIDER = "zz_outside"
"""An advertiser in every history that no catalogue has."""


def build_examples(conversions: list[list[int]], *, seed: int = 0) -> TrainingExamples:
    """Examples in which user i converts with `conversions[i]`, one a day, the last on AS_OF.

    Some users also search, and half of them convert with OUTSIDER first.
    """
    rng = np.random.default_rng(seed)
    rows = [row for user, past in enumerate(conversions) for row in _events(user, past, rng)]
    columns = ["user", "time", "kind", "text", "advertiser_id"]
    events = pd.DataFrame(rows, columns=columns).assign(category=None)
    events = events.astype({"user": "int64", "time": "datetime64[us]"})
    events = events.assign(event_time=events["time"], advertiser_name=events["advertiser_id"])
    users = pd.DataFrame({"user_id": [f"u{i:04d}" for i in range(len(conversions))], **dict.fromkeys(PROFILE_FIELDS)})
    offsets = np.searchsorted(events["user"], np.arange(len(users) + 1))
    contexts = UserContexts(AS_OF, users, events, offsets)
    return TrainingExamples(contexts, _targets(contexts), catalogue())


def _events(user: int, past: list[int], rng: np.random.Generator) -> list[tuple[object, ...]]:
    noon = datetime.combine(AS_OF, datetime.min.time()) + timedelta(hours=12)
    found: list[tuple[object, ...]] = []
    if past and user % 2:
        found.append((user, noon - timedelta(days=len(past)), "conversion", None, OUTSIDER))
    for age, advertiser in zip(range(len(past) - 1, -1, -1), past, strict=True):
        if rng.random() < 0.5:
            found.append((user, noon - timedelta(days=age, hours=1), "search", f"group {advertiser % GROUPS}", None))
        found.append((user, noon - timedelta(days=age), "conversion", None, f"a{advertiser:02d}"))
    return found


def _targets(contexts: UserContexts) -> pd.DataFrame:
    """Every conversion as a target, read after the last event before its day."""
    events = contexts.events
    targets = contexts.conversions()
    day_start = targets["time"].dt.floor("D")
    positions = []
    for user, start in zip(targets["user"], day_start, strict=True):
        mine = events["time"].iloc[contexts.offsets[user] : contexts.offsets[user + 1]]
        positions.append(int((mine < start).sum()))
    last = contexts.offsets[targets["user"].to_numpy()] + np.array(positions, dtype=int) - 1
    seen = np.array(positions) > 0
    visible = pd.Series(events["time"].to_numpy()[np.where(seen, last, 0)]).where(seen)
    return pd.DataFrame(
        {
            "user": targets["user"].to_numpy(),
            "position": positions,
            "advertiser_id": targets["advertiser_id"].to_numpy(),
            "event_time": targets["time"].to_numpy(),
            "known_at": targets["time"].to_numpy(),
            "visible_until": visible.to_numpy(),
            "interest": [f"group {int(a[1:]) % GROUPS}" if a != OUTSIDER else None for a in targets["advertiser_id"]],
        }
    )


def catalogue() -> pd.DataFrame:
    """ADVERTISERS advertisers a00, a01, ...; the vertical is the group of the checkerboard."""
    ids = [f"a{i:02d}" for i in range(ADVERTISERS)]
    verticals = [f"vertical {i % GROUPS}" for i in range(ADVERTISERS)]
    return pd.DataFrame({"advertiser_id": ids, "name": ids, "vertical": verticals, "conversions": 0, "users": 0})


def fashion_world(n_users: int, rng: np.random.Generator) -> tuple[TrainingExamples, np.ndarray]:
    """Three advertisers take nine of ten conversions, whoever the user is."""
    share = np.full(ADVERTISERS, 0.1 / (ADVERTISERS - 3))
    share[[5, 11, 17]] = 0.3
    past = [list(rng.choice(ADVERTISERS, size=rng.integers(1, 5), p=share)) for _ in range(n_users)]
    return build_examples(past), rng.choice(ADVERTISERS, size=n_users, p=share)


def habit_world(n_users: int, rng: np.random.Generator) -> tuple[TrainingExamples, np.ndarray]:
    """Nine of ten conversions of a user are with his own advertiser, the others with any."""
    own = rng.integers(ADVERTISERS, size=n_users)
    strays = rng.integers(ADVERTISERS, size=(n_users, 6))
    every = np.where(rng.random((n_users, 6)) < 0.9, own[:, None], strays)
    return build_examples([list(row[:5]) for row in every]), every[:, 5]


def checkerboard_world(n_users: int, rng: np.random.Generator) -> tuple[TrainingExamples, np.ndarray]:
    """User i converts with advertisers of group i % GROUPS in random order; the next is one not yet taken."""
    members = np.arange(ADVERTISERS).reshape(-1, GROUPS).T
    orders = [list(rng.permutation(members[user % GROUPS])) for user in range(n_users)]
    return build_examples([order[:4] for order in orders]), np.array([order[4] for order in orders])


WORLDS = {"fashion": fashion_world, "habit": habit_world, "checkerboard": checkerboard_world}
LUCK = dict.fromkeys(WORLDS, 3 / ADVERTISERS)
"""Chance of a random top 3 to hold the next advertiser."""


class PredictorContract:
    """Invariants of the table, determinism, who gets predictions, and the worlds it must win."""

    wins: tuple[str, ...] = ()
    """Worlds in which recall@3 must be at least three times that of chance."""
    n_users = 160
    """Users of a world; a source slow to train may lower it."""

    def make(self) -> AdvertiserPredictor:
        """A new unfitted predictor, the same every time."""
        raise AssertionError("write make() in the subclass")

    def fitted(self, world: str = "checkerboard") -> tuple[AdvertiserPredictor, TrainingExamples, np.ndarray]:
        """A predictor fitted in a world, the world's examples, and each user's next advertiser (column)."""
        examples, following = WORLDS[world](self.n_users, np.random.default_rng(7))
        return self.make().fit(examples), examples, following

    def test_table_keeps_every_invariant(self) -> None:
        predictor, examples, _ = self.fitted()
        table = predictor.predict(examples.contexts, 7)
        assert violations(table, set(examples.catalogue["advertiser_id"])) == []
        assert set(table["source"]) == {predictor.name}
        assert set(table["day"]) == {AS_OF}
        assert len(set(table["model_version"])) == 1
        assert (table["probability"] > 0).all()

    def test_every_user_gets_k_advertisers(self) -> None:
        predictor, examples, _ = self.fitted()
        for k, expected in ((1, 1), (5, 5), (ADVERTISERS + 10, ADVERTISERS)):
            counts = predictor.predict(examples.contexts, k).groupby("user_id").size()
            assert list(counts.index) == list(examples.contexts.user_ids)
            assert set(counts) == {expected}

    def test_the_table_is_the_top_of_the_distribution(self) -> None:
        predictor, examples, _ = self.fitted()
        some = examples.contexts.take(np.arange(0, self.n_users, 7))
        probabilities = predictor.probabilities(some)
        assert probabilities.shape == (len(some), ADVERTISERS)
        assert (probabilities >= 0).all()
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
        assert list(predictor.advertiser_ids) == list(examples.catalogue["advertiser_id"])
        table = predictor.predict(some, 3)
        top = np.sort(probabilities, axis=1)[:, ::-1][:, :3]
        np.testing.assert_allclose(table["probability"].to_numpy().reshape(-1, 3), top, atol=1e-3)

    def test_k_cuts_and_does_not_change_what_it_keeps(self) -> None:
        predictor, examples, _ = self.fitted()
        long = predictor.predict(examples.contexts, 9)
        short = predictor.predict(examples.contexts, 3)
        pd.testing.assert_frame_equal(long[long["rank"] <= 3].reset_index(drop=True), short)

    def test_same_input_same_bytes(self) -> None:
        first, examples, _ = self.fitted()
        second, _, _ = self.fitted()
        pd.testing.assert_frame_equal(
            first.predict(examples.contexts, 5), second.predict(examples.contexts, 5), check_exact=True
        )

    def test_other_training_data_is_another_model_version(self) -> None:
        first, examples, _ = self.fitted("checkerboard")
        second, _, _ = self.fitted("habit")
        versions = [p.predict(examples.contexts, 1)["model_version"].iloc[0] for p in (first, second)]
        assert versions[0] != versions[1]

    def test_users_without_history_or_unseen_in_training_get_predictions(self) -> None:
        predictor, examples, _ = self.fitted()
        strangers = build_examples([[], [3], [], [2, 6]]).contexts
        strangers.users["user_id"] = ["new1", "new2", "new3", "new4"]
        table = predictor.predict(strangers, 4)
        assert violations(table, set(examples.catalogue["advertiser_id"])) == []
        assert set(table["user_id"]) == {"new1", "new2", "new3", "new4"}

    def test_all_users_without_history(self) -> None:
        predictor, _, _ = self.fitted()
        assert len(predictor.predict(build_examples([[], []]).contexts, 4)) == 8

    def test_a_prediction_does_not_depend_on_who_else_is_asked_for(self) -> None:
        predictor, examples, _ = self.fitted()
        together = predictor.predict(examples.contexts, 5)
        rows = np.array([1, 5, 30])
        alone = predictor.predict(examples.contexts.take(rows), 5)
        mine = together[together["user_id"].isin(examples.contexts.user_ids[rows])].reset_index(drop=True)
        np.testing.assert_allclose(mine["probability"], alone["probability"], atol=1e-3)

    def test_what_is_outside_the_catalogue_is_never_predicted(self) -> None:
        examples, _ = WORLDS["habit"](self.n_users, np.random.default_rng(7))
        fewer = examples.catalogue.iloc[::2].reset_index(drop=True)
        predictor = self.make().fit(TrainingExamples(examples.contexts, examples.targets, fewer))
        table = predictor.predict(examples.contexts, ADVERTISERS)
        assert violations(table, set(fewer["advertiser_id"])) == []

    def test_wins_the_worlds_it_must_win(self) -> None:
        assert self.wins, "name the worlds this source must win"
        for world in self.wins:
            recall = self.recall_at_3(world)
            assert recall >= 3 * LUCK[world], f"{world}: recall@3 {recall:.2f} against {LUCK[world]:.2f} by chance"

    def recall_at_3(self, world: str) -> float:
        """Share of users whose next advertiser is among the first 3 predicted."""
        predictor, examples, following = self.fitted(world)
        table = predictor.predict(examples.contexts, 3)
        chosen = table["advertiser_id"].to_numpy().reshape(len(following), 3)
        truth = examples.catalogue["advertiser_id"].to_numpy()[following]
        return float((chosen == truth[:, None]).any(axis=1).mean())
