"""A wave of new advertisers: some names that nobody has met yet enter within days, with money to spend.

    catalogue = with_newcomers(catalogue, settings, rng)

They stand behind the advertisers that were there, and are not active before the scenario's day: until then every draw
of the world is what it is without them. They are drawn from the names that the world left over, of subverticals that
it has. It does not know users.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ml.world.catalogue import FOREVER, STYLES, Catalogue, load_names
from ml.world.grammar import Grammar
from ml.world.settings import WorldSettings

SHARE = 0.15
"""Newcomers over the advertisers that were there."""
_DAYS = 3
"""Days over which they enter."""
_ADS_EACH = 5
_BOLD = 3.0
"""Their budgets over those of others with as much demand."""


def with_newcomers(catalogue: Catalogue, settings: WorldSettings, rng: np.random.Generator) -> Catalogue:
    """The catalogue with a wave on `settings.scenario_day`: as many as SHARE says, as far as there are names left."""
    names = load_names()
    subverticals = catalogue.subverticals["subvertical"]
    left = names[~names["name"].isin(catalogue.names) & names["subvertical"].isin(subverticals)]
    left = left.sample(n=min(max(round(SHARE * settings.advertisers), 1), len(left)), random_state=rng)
    n, before = len(left), len(catalogue.names)
    sub = subverticals.searchsorted(left["subvertical"]).astype(np.int64)
    brand = rng.normal(0.5, 0.7, n) - np.log(np.bincount(catalogue.sub, minlength=len(subverticals)))[sub] - 0.5
    level = np.exp(rng.normal(0, 0.35, n))
    price = catalogue.subverticals["price"].to_numpy(dtype=np.float64)[sub] * level
    bid = np.round(0.3 * price**0.3 * np.exp(rng.normal(0, 0.25, n)), 2)
    a_dollar = float(np.sum(catalogue.budget) / np.sum(catalogue.demand * catalogue.bid))
    demand = catalogue.rate[sub] * np.exp(brand) / catalogue.rate.sum()
    starts = settings.scenario_day + rng.permutation(np.arange(n) % _DAYS)
    owner = np.repeat(np.arange(n), _ADS_EACH)
    ad_price = np.round(price[owner] * np.exp(rng.normal(0, 0.4, len(owner))), 2)
    everybody = catalogue.names + left["name"].tolist()
    grammar = Grammar(catalogue.subverticals, everybody)
    return replace(
        catalogue,
        names=everybody,
        ids=catalogue.ids + [f"adv{before + i:0{len(catalogue.ids[0]) - 3}d}" for i in range(n)],
        sub=np.concatenate([catalogue.sub, sub]),
        brand=np.concatenate([catalogue.brand, brand]),
        style=np.concatenate([catalogue.style, rng.standard_normal((n, STYLES), dtype=np.float32)]),
        price_level=np.concatenate([catalogue.price_level, level]),
        bid=np.concatenate([catalogue.bid, bid]),
        budget=np.concatenate([catalogue.budget, np.round(np.maximum(_BOLD * a_dollar * demand * bid, 0.05), 2)]),
        pacing=np.concatenate([catalogue.pacing, rng.random(n) < 0.5]),
        active_from=np.concatenate([catalogue.active_from, starts]),
        active_to=np.concatenate([catalogue.active_to, np.full(n, FOREVER)]),
        ad_advertiser=np.concatenate([catalogue.ad_advertiser, before + owner]),
        ad_ids=catalogue.ad_ids
        + [f"ad{len(catalogue.ad_ids) + i:0{len(catalogue.ad_ids[0]) - 2}d}" for i in range(len(owner))],
        ad_titles=catalogue.ad_titles + grammar.titles(before + owner, sub[owner], rng),
        ad_price=np.concatenate(
            [catalogue.ad_price, np.round(price[owner] * np.exp(rng.normal(0, 0.4, len(owner))), 2)]
        ),
        ad_quality=np.concatenate([catalogue.ad_quality, rng.normal(0.2, 0.4, len(owner))]),
        ad_created=np.concatenate([catalogue.ad_created, starts[owner] - rng.integers(1, 15, len(owner))]),
        grammar=grammar,
    )
