"""Advertisers are real names that may ship, of kinds that may be advertised, with budgets, prices and seasons."""

from __future__ import annotations

import re
from datetime import timedelta

import numpy as np
import pytest
from pydantic import ValidationError

from ml.world.catalogue import Catalogue, draw_catalogue, load_names, load_subverticals
from ml.world.settings import WorldSettings

EXCLUDED = re.compile(
    r"tobacco|cigar|vape|\bsmok(e|es|ing)\b|casino|gambl|betting|lotter|\b(gun|guns|ammo|arms|firearms?|weapons?|rifles?)\b"
    r"|liquor|\b(wine|beer|brewery|brewing|vodka|whisk(e?)y|distiller(y|s)|tavern|saloon|pub)\b|escort|porn|lingerie|cannabis"
)
KNOWN_TO_BE_EXCLUDED = {
    "Altria", "Philip Morris International", "Las Vegas Sands", "MGM Resorts", "Wynn Resorts", "Luckia",
    "Molson Coors Beverage", "Constellation Brands", "BevMo!", "Binny's Beverage Depot", "Total Wine",
    "Spec's", "Twin Liquors", "Axon Enterprise", "General Dynamics", "Lockheed Martin", "Northrop Grumman", "RTX",
    "L3Harris", "Bass Pro Shops", "Cabela's", "Sportsman's Warehouse", "5.11 Tactical", "Hooters", "BrewDog",
    "Twin Peaks", "Agent Provocateur",
}  # fmt: skip
"""Names of the public lists that no wording gives away."""


@pytest.fixture(scope="module")
def large() -> Catalogue:
    return draw_catalogue(WorldSettings(advertisers=2_000, ads=4_000, users=100_000), np.random.default_rng(1))


def test_every_name_is_of_a_list_that_may_ship() -> None:
    names = load_names()
    assert set(names["source"]) == {"nsi", "sp500"}
    assert len(names) == WorldSettings.model_fields["advertisers"].metadata[1].le


def test_no_name_or_word_is_of_an_excluded_kind() -> None:
    names, subs = load_names(), load_subverticals()
    told = [*names["name"], *subs["subvertical"], *subs["vertical"], *subs[["nouns", "details", "uses"]].stack()]
    allowed = {"Lotteria", "Procter & Gamble"}
    assert [text for text in told if text not in allowed and EXCLUDED.search(text.lower())] == []
    assert not KNOWN_TO_BE_EXCLUDED & set(names["name"])


def test_the_excluded_kinds_would_be_noticed() -> None:
    for name in ("Joe's Casino", "Smoke Shop", "Guns & More", "Fine Wine", "Vape Land", "Acme Firearms", "The Pub"):
        assert EXCLUDED.search(name.lower())


def test_budgets_follow_demand_and_have_a_heavy_tail(large: Catalogue) -> None:
    assert large.demand.sum() == pytest.approx(1)
    assert np.corrcoef(np.log(large.demand), np.log(large.budget))[0, 1] > 0.6
    top = np.sort(large.budget)[::-1]
    assert 0.3 < top[:100].sum() / top.sum() < 0.9, "5 % of the advertisers"
    assert large.budget.sum() == pytest.approx(WorldSettings().budget_per_user * 100_000, rel=0.01)
    assert (large.budget > 0).all() and 0.6 < large.pacing.mean() < 0.8


def test_dear_advertisers_have_dear_ads(large: Catalogue) -> None:
    usual = large.subverticals["price"].to_numpy()[large.sub][large.ad_advertiser]
    level = np.log(large.price_level)[large.ad_advertiser]
    assert np.corrcoef(np.log(large.ad_price / usual), level)[0, 1] > 0.5
    assert np.median(large.price_level) == pytest.approx(1, abs=0.05)


def test_a_season_is_smooth_peaks_on_its_day_and_leaves_the_year_s_mean_alone(large: Catalogue) -> None:
    first = large.first_day.replace(month=1, day=1) - large.first_day
    year = np.stack([large.season(day) for day in range(first // timedelta(days=1), first // timedelta(days=1) + 365)])
    assert np.allclose(year.mean(axis=0), 1, atol=0.01)
    assert (np.abs(np.diff(np.log(year), axis=0)) < 0.025).all()
    distance = np.abs(year.argmax(axis=0) + 1 - large.subverticals["peak"].to_numpy())
    assert (np.minimum(distance, 365 - distance) <= 1)[large.subverticals["swing"].to_numpy() > 0].all()
    assert year.max() > 2, "taxes are done in spring"


def test_somebody_of_every_subvertical_stays(large: Catalogue) -> None:
    stays = (large.active_from <= 0) & (large.active_to > 10_000)
    assert np.bincount(large.sub[stays], minlength=len(large.subverticals)).min() >= 1
    assert (~stays).sum() == round(0.04 * 2_000) + round(0.03 * 2_000)


def test_more_advertisers_than_names_are_refused() -> None:
    with pytest.raises(ValidationError, match="less than or equal to"):
        WorldSettings(advertisers=len(load_names()) + 1, ads=5_000)
