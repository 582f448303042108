"""A wave of new advertisers: some names that nobody has met yet enter within days, with money to spend.

    catalogue = with_newcomers(catalogue, settings, rng)

They stand behind the advertisers that were there, and are not active before the scenario's day: until then every draw
of the world is what it is without them. They are drawn from the names that the world left over, of subverticals that
it has. It does not know users.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

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
    left = _left_over(catalogue, round(SHARE * settings.advertisers), rng)
    n, before = len(left), len(catalogue.names)
    sub = catalogue.subverticals["subvertical"].searchsorted(left["subvertical"]).astype(np.int64)
    rivals = np.bincount(catalogue.sub, minlength=len(catalogue.subverticals))[sub]
    brand = rng.normal(0, 0.7, n) - np.log(rivals)
    level = np.exp(rng.normal(0, 0.35, n))
    price = catalogue.subverticals["price"].to_numpy(dtype=np.float64)[sub] * level
    bid = np.round(0.3 * price**0.3 * np.exp(rng.normal(0, 0.25, n)), 2)
    usual = np.sum(catalogue.budget) / np.sum(catalogue.demand * catalogue.bid)
    budget = _BOLD * usual * catalogue.rate[sub] * np.exp(brand) / catalogue.rate.sum() * bid
    starts = settings.scenario_day + rng.permutation(np.arange(n) % _DAYS)
    owner = np.repeat(np.arange(n), _ADS_EACH)
    grammar = Grammar(catalogue.subverticals, catalogue.names + left["name"].tolist())
    more: dict[str, np.ndarray | list[str]] = {
        "names": left["name"].tolist(),
        "ids": _numbered_after(catalogue.ids, n),
        "sub": sub,
        "brand": brand,
        "style": rng.standard_normal((n, STYLES), dtype=np.float32),
        "price_level": level,
        "bid": bid,
        "budget": np.round(np.maximum(budget, 0.05), 2),
        "pacing": rng.random(n) < 0.5,
        "active_from": starts,
        "active_to": np.full(n, FOREVER),
        "ad_advertiser": before + owner,
        "ad_ids": _numbered_after(catalogue.ad_ids, len(owner)),
        "ad_titles": grammar.titles(before + owner, sub[owner], rng),
        "ad_price": np.round(price[owner] * np.exp(rng.normal(0, 0.4, len(owner))), 2),
        "ad_quality": rng.normal(0.2, 0.4, len(owner)),
        "ad_created": starts[owner] - rng.integers(1, 15, len(owner)),
    }
    joined: dict[str, Any] = {
        name: getattr(catalogue, name) + new
        if isinstance(new, list)
        else np.concatenate([getattr(catalogue, name), new])
        for name, new in more.items()
    }
    return replace(catalogue, grammar=grammar, **joined)


def _left_over(catalogue: Catalogue, n: int, rng: np.random.Generator) -> pd.DataFrame:
    """n names, or as many as there are, that the world does not have, of subverticals that it has."""
    names = load_names()
    known = names["subvertical"].isin(catalogue.subverticals["subvertical"])
    left = names[~names["name"].isin(catalogue.names) & known]
    return left.sample(n=min(max(n, 1), len(left)), random_state=rng)


def _numbered_after(ids: list[str], n: int) -> list[str]:
    """n more ids that go on where these end."""
    prefix = ids[0].rstrip("0123456789")
    return [f"{prefix}{len(ids) + i:0{len(ids[0]) - len(prefix)}d}" for i in range(n)]
