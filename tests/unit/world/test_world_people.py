"""Users have habits and life events of their own, and what is kept of them does not grow with users x advertisers."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from ml.world.catalogue import draw_catalogue
from ml.world.clock import Chance, Stage
from ml.world.events import LIFE_EVENTS, LOOKING_DAYS, LifeEvents
from ml.world.intents import SEARCH, VISIT, Intents
from ml.world.population import AGES, Population
from ml.world.settings import WorldSettings

MANY = WorldSettings(users=4_000, advertisers=400, ads=400)
CHANCE = Chance(5)


@pytest.fixture(scope="module")
def people() -> Population:
    return Population(MANY, draw_catalogue(MANY, CHANCE.of(Stage.CATALOGUE)), CHANCE)


def pairs(people: Population, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, MANY.users, n), rng.integers(0, MANY.advertisers, n)


def test_liking_is_fixed_the_pair_s_own_and_as_spread_as_it_says(people: Population) -> None:
    users, advertisers = pairs(people, 50_000, 1)
    found = people.liking(users, advertisers)
    assert abs(found.mean()) < 0.02 and 0.65 < found.std() < 0.77
    backwards = people.liking(users[::-1], advertisers[::-1])[::-1]
    assert (found == backwards).all(), "in whatever order, and whoever else is asked about"
    assert abs(np.corrcoef(found[:-1], found[1:])[0, 1]) < 0.03


def test_people_who_like_one_brand_like_certain_others(people: Population) -> None:
    """The matrix of likings has STYLES strong directions and no others: what one can learn from other users."""
    liking = people.liking(np.arange(2_000)[:, None], np.arange(400))
    strength = np.linalg.svd(liking - liking.mean(axis=0), compute_uv=False) ** 2
    assert 0.35 < strength[:4].sum() / strength.sum() < 0.65
    assert strength[3] > 5 * strength[4]


def test_habits_differ_and_average_to_the_settings(people: Population) -> None:
    assert people.loyalty.mean() == pytest.approx(MANY.loyalty, rel=0.05)
    assert people.price_sensitivity.mean() == pytest.approx(MANY.price_sensitivity, rel=0.05)
    assert np.quantile(people.loyalty, 0.9) > 2.5 * np.quantile(people.loyalty, 0.1)
    assert np.quantile(people.price_sensitivity, 0.9) > 2.5 * np.quantile(people.price_sensitivity, 0.1)


def test_who_minds_prices_goes_to_cheap_advertisers_and_the_loyal_stay(people: Population) -> None:
    dear, cheap = int(people.catalogue.price_level.argmax()), int(people.catalogue.price_level.argmin())
    advantage = people.brand_utility(np.arange(MANY.users), np.array(cheap)) - people.brand_utility(
        np.arange(MANY.users), np.array(dear)
    )
    assert np.corrcoef(advantage, people.price_sensitivity)[0, 1] > 0.4
    before = people.brand_utility(np.arange(MANY.users), np.array(7))
    people.remember(np.arange(MANY.users), np.full(MANY.users, 7))
    gained = people.brand_utility(np.arange(MANY.users), np.array(7)) - before
    assert np.allclose(gained, people.loyalty)


def test_state_does_not_grow_with_users_times_advertisers() -> None:
    sizes = []
    for advertisers in (100, 1_600):
        settings = MANY.model_copy(update={"advertisers": advertisers, "ads": advertisers})
        found = Population(settings, draw_catalogue(settings, CHANCE.of(Stage.CATALOGUE)), CHANCE)
        sizes.append(sum(sys.getsizeof(v) for v in vars(found).values() if isinstance(v, np.ndarray)))
        assert not [v for v in vars(found).values() if isinstance(v, np.ndarray) and advertisers in v.shape]
    subs = 121 / int(np.ceil(100 / 3.5))
    assert sizes[1] < 1.1 * subs * sizes[0]


def test_events_begin_as_often_as_the_settings_say_and_suit_the_age() -> None:
    settings = MANY.model_copy(update={"life_events_per_user": 1.2, "users": 20_000})
    catalogue = draw_catalogue(settings, CHANCE.of(Stage.CATALOGUE))
    events = LifeEvents(catalogue.subverticals, settings.life_events_per_user)
    rng, age = np.random.default_rng(0), np.random.default_rng(1).integers(0, len(AGES), settings.users)
    begun = []
    for day in range(30):
        events.live(day, age, rng)
        begun.append(events.on[events.on[:, 2] == day])
        assert (events.on[:, 3] > day).all()
    rows = np.concatenate(begun)
    assert len(rows) == pytest.approx(0.6 * settings.users, rel=0.05)
    kinds = list(LIFE_EVENTS)
    assert age[rows[rows[:, 1] == kinds.index("baby"), 0]].mean() < age.mean() - 0.5
    assert age[rows[rows[:, 1] == kinds.index("retirement"), 0]].mean() > age.mean() + 1


def test_an_event_shows_in_searches_and_visits_before_it_shows_in_conversions() -> None:
    """By truth: rows of subverticals that an event lifts, by days since it began, over the rate before it."""
    settings = MANY.model_copy(update={"life_events_per_user": 0.4, "looking_per_day": 0.35})
    people = Population(settings, draw_catalogue(settings, CHANCE.of(Stage.CATALOGUE)), CHANCE)
    intents = Intents(people, CHANCE)
    events: list[np.ndarray] = []
    seen: dict[str, list[np.ndarray]] = {"traces": [], "conversions": []}
    for day in range(60):
        people.live(day)
        intents.begin(day)
        events.append(people.events.on[people.events.on[:, 2] == day])
        rows = intents.activity(day)
        asked = np.isin(rows["kind"], (SEARCH, VISIT)) & (rows["sub"] >= 0)
        due = intents.due(day)
        for name, user, sub in (
            ("traces", rows["user"][asked], rows["sub"][asked]),
            ("conversions", due["user"], due["sub"]),
        ):
            count = np.zeros(people.interest.shape, dtype=np.int64)
            np.add.at(count, (user, sub), 1)
            seen[name].append(count)
    began = np.concatenate(events)
    began = began[(began[:, 2] >= 12) & (began[:, 2] < 45)]
    risen = {}
    for name, counts in seen.items():
        days = np.stack(counts)
        related = np.array(
            [[(days[b + lag, u] * people.events.lifted[k]).sum() for lag in range(-12, 14)] for u, k, b, _ in began]
        ).sum(axis=0)
        rate = related / related[:12].mean()
        risen[name] = (rate[12:15].mean(), rate[-5:].mean())
    assert risen["traces"][0] > 3, "in the first three days people look around"
    assert risen["conversions"][0] < 0.5 * risen["traces"][0], "and hardly buy yet"
    assert risen["conversions"][1] > 1.8 * risen["conversions"][0], "they do after a week"


def test_people_look_around_only_at_what_their_event_is_about(people: Population) -> None:
    events = LifeEvents(people.catalogue.subverticals, 30.0)
    events.live(0, np.full(1_000, 2), np.random.default_rng(0))
    kind = dict(events.on[:, :2])
    user, sub = events.looking(LOOKING_DAYS - 1, 1.0, np.random.default_rng(1))
    assert len(user) > 300 and all(events.lifted[kind[u], s] for u, s in zip(user, sub, strict=True))
    assert not len(events.looking(LOOKING_DAYS, 1.0, np.random.default_rng(1))[0])
