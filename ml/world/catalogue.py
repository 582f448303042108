"""Who advertises what in a world: a stratified draw of real names, and their ads.

Names and subverticals are data (`names.csv`, `subverticals.csv`; `source` says which public list a name is
from: the OpenStreetMap name suggestion index, nsi, or the S&P 500, sp500). How popular each advertiser is,
how dear, what it bids and may spend, and when it is active is drawn from the seed, so knowing the real
brands gives no answer away. It does not know users.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from importlib.resources import files

import numpy as np
import pandas as pd

from ml.world.grammar import Grammar
from ml.world.settings import WorldSettings

FOREVER = 10**6
"""Day number of an advertiser that does not leave."""
_WANTED_PER_SUBVERTICAL = 3.5
STYLES = 4
"""Dimensions of what people like in a brand."""
_PACED = 0.7
"""Share of advertisers that pace their budget."""


@dataclass(frozen=True)
class Catalogue:
    """Advertisers (A), ads (N) and subverticals (S) of one world, as aligned arrays.

    Attributes:
        subverticals: S rows of `subverticals.csv`, RangeIndex.
        names: (A,) advertiser names; ids: (A,) their ids.
        sub: (A,) subvertical of each advertiser; brand: (A,) its share of that subvertical, log.
        style: (A, STYLES) latent: what kind of people like it (see `Population.liking`).
        price_level: (A,) what it charges over what is usual in its subvertical, median 1.
        bid: (A,) usual bid in dollars a click.
        budget: (A,) dollars it may spend a day; heavy-tailed, in proportion to the demand for it.
        pacing: (A,) True if it spreads its budget over the day, False if it spends as fast as it can.
        active_from, active_to: (A,) first and last active day, as day numbers (negative: before the logs).
        ad_*: (N,) advertiser, id, title, price in dollars, quality (logit), creation day of each ad.
    """

    subverticals: pd.DataFrame
    names: list[str]
    ids: list[str]
    sub: np.ndarray
    brand: np.ndarray
    style: np.ndarray
    price_level: np.ndarray
    bid: np.ndarray
    budget: np.ndarray
    pacing: np.ndarray
    active_from: np.ndarray
    active_to: np.ndarray
    ad_advertiser: np.ndarray
    ad_ids: list[str]
    ad_titles: list[str]
    ad_price: np.ndarray
    ad_quality: np.ndarray
    ad_created: np.ndarray
    first_day: date
    grammar: Grammar = field(repr=False)

    @cached_property
    def rate(self) -> np.ndarray:
        """(S,) how often people want something of each subvertical, relative."""
        return self.subverticals["rate"].to_numpy(dtype=np.float64)

    @cached_property
    def demand(self) -> np.ndarray:
        """(A,) share of all that is wanted that goes to each advertiser in an average season; sums to 1."""
        found: np.ndarray = self.rate[self.sub] * np.exp(self.brand) / self.rate.sum()
        return found

    def season(self, day: int) -> np.ndarray:
        """(S,) how much each subvertical is wanted on a day over its average of a year: a smooth yearly wave.

        exp(swing * cos(2 pi (day of year - peak) / 365.25)) over its yearly mean, the Bessel function I0(swing).
        """
        of_year = (self.first_day + timedelta(days=day)).timetuple().tm_yday
        peak, swing = (self.subverticals[name].to_numpy(dtype=np.float64) for name in ("peak", "swing"))
        wave: np.ndarray = np.exp(swing * np.cos(2 * np.pi * (of_year - peak) / 365.25)) / np.i0(swing)
        return wave

    @cached_property
    def ad_sub(self) -> np.ndarray:
        """(N,) subvertical of each ad."""
        found: np.ndarray = self.sub[self.ad_advertiser]
        return found

    @cached_property
    def ad_quality32(self) -> np.ndarray:
        """(N,) float32 quality of each ad."""
        found: np.ndarray = self.ad_quality.astype(np.float32)
        return found

    @cached_property
    def log_bid32(self) -> np.ndarray:
        """(A,) float32 log of each usual bid."""
        found: np.ndarray = np.log(self.bid).astype(np.float32)
        return found

    @cached_property
    def usual_price(self) -> np.ndarray:
        """(A,) dollars that a conversion with each advertiser is usually worth."""
        found: np.ndarray = self.subverticals["price"].to_numpy(dtype=np.float64)[self.sub] * self.price_level
        return found

    @cached_property
    def ad_popularity(self) -> np.ndarray:
        """(N,) share of all conversions that goes to the ad's advertiser, split over its ads."""
        found: np.ndarray = (self.demand / np.bincount(self.ad_advertiser))[self.ad_advertiser]
        return found

    def active(self, day: int) -> np.ndarray:
        """(A,) True where the advertiser is active on a day; those of before the logs all are."""
        found: np.ndarray = (self.active_from <= max(day, 0)) & (day <= self.active_to)
        return found

    @cached_property
    def members(self) -> np.ndarray:
        """(S, most in one) advertisers of each subvertical, -1 where there are fewer."""
        sizes = np.bincount(self.sub, minlength=len(self.subverticals))
        found = np.full((len(sizes), int(sizes.max())), -1)
        for s in range(len(sizes)):
            found[s, : sizes[s]] = np.flatnonzero(self.sub == s)
        return found

    def advertiser_rows(self, day: int, first_day: date) -> pd.DataFrame:
        """Register rows delivered on a day: all known ones on day 0, later those that enter or leave."""
        delivered = self.active_from <= 0 if day == 0 else (self.active_from == day) | (self.active_to == day)
        rows = np.flatnonzero(delivered)
        leaves = [first_day + timedelta(days=int(d)) if d == day else None for d in self.active_to[rows]]
        return pd.DataFrame(
            {
                "advertiser_id": [self.ids[i] for i in rows],
                "name": [self.names[i] for i in rows],
                "vertical": self.subverticals["vertical"].to_numpy()[self.sub[rows]],
                "active_from": [first_day + timedelta(days=int(d)) for d in self.active_from[rows]],
                "active_to": leaves,
            }
        )

    def ad_rows(self, day: int, first_day: date) -> pd.DataFrame:
        """Register rows of ads: on day 0, and with each advertiser that enters later."""
        start = self.active_from[self.ad_advertiser]
        rows = np.flatnonzero(start <= 0 if day == 0 else start == day)
        owner = self.ad_advertiser[rows]
        return pd.DataFrame(
            {
                "ad_id": [self.ad_ids[i] for i in rows],
                "advertiser_id": [self.ids[i] for i in owner],
                "title": [self.ad_titles[i] for i in rows],
                "category": self.subverticals["subvertical"].to_numpy()[self.sub[owner]],
                "price": self.ad_price[rows],
                "created_at": np.datetime64(first_day, "us") + self.ad_created[rows].astype("timedelta64[D]"),
            }
        )


def load_names() -> pd.DataFrame:
    """`names.csv` (name, subvertical, source) with the vertical joined on, in file order."""
    names = pd.read_csv(str(files("ml.world") / "names.csv"))
    return names.merge(load_subverticals()[["subvertical", "vertical"]], on="subvertical", validate="m:1")


def load_subverticals() -> pd.DataFrame:
    """`subverticals.csv`: one row a subvertical.

    Columns: vertical; rate (relative); price (usual, dollars); repeat (chance-like, how often it is used up);
    age and female (tilts of interest); conversion (kind); peak (day of the year) and swing of its season;
    nouns, details and uses (vocabulary, separated by |).
    """
    return pd.read_csv(str(files("ml.world") / "subverticals.csv"))


def draw_catalogue(settings: WorldSettings, rng: np.random.Generator) -> Catalogue:
    """Choose advertisers evenly over verticals and subverticals; give them popularity, bids and ads."""
    chosen, subverticals = _stratified(settings.advertisers, rng)
    n = len(chosen)
    sub = subverticals["subvertical"].searchsorted(chosen["subvertical"]).astype(np.int64)
    names = chosen["name"].tolist()
    strength = rng.normal(0, 1.0, n)
    brand = strength - np.log(np.bincount(sub, np.exp(strength)))[sub]
    active_from, active_to = _lifetimes(settings, sub, rng)
    level = np.exp(rng.normal(0, 0.35, n))
    price = subverticals["price"].to_numpy(dtype=np.float64)[sub]
    bid = np.round(0.25 * (price * level) ** 0.3 * np.exp(rng.normal(0, 0.25, n)), 2)
    owner = _ads_of(settings.ads, brand, rng)
    grammar = Grammar(subverticals, names)
    return Catalogue(
        subverticals=subverticals,
        names=names,
        ids=_numbered("adv", n, 3),
        sub=sub,
        brand=brand,
        style=rng.standard_normal((n, STYLES), dtype=np.float32),
        price_level=level,
        bid=bid,
        budget=_budgets(settings, subverticals["rate"].to_numpy()[sub] * np.exp(brand) * bid, rng),
        pacing=rng.random(n) < _PACED,
        active_from=active_from,
        active_to=active_to,
        ad_advertiser=owner,
        ad_ids=_numbered("ad", len(owner), 4),
        ad_titles=grammar.titles(owner, sub[owner], rng),
        ad_price=np.round((price * level)[owner] * np.exp(rng.normal(0, 0.4, len(owner))), 2),
        ad_quality=rng.normal(0, 0.4, len(owner)),
        ad_created=_creation_days(active_from[owner], rng),
        first_day=settings.first_day,
        grammar=grammar,
    )


def _numbered(prefix: str, n: int, digits: int) -> list[str]:
    """n ids of one length, in no order that means anything."""
    digits = max(digits, len(str(n - 1)))
    return [f"{prefix}{i:0{digits}d}" for i in range(n)]


def _budgets(settings: WorldSettings, demand: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(A,) daily budgets in dollars, all together `budget_per_user` a user; some advertisers are bold, some are shy."""
    wish = demand * np.exp(rng.normal(0, 0.8, len(demand)))
    found: np.ndarray = np.round(np.maximum(settings.budget_per_user * settings.users * wish / wish.sum(), 0.05), 2)
    return found


def _stratified(n: int, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """n names in random order, and their subverticals sorted by name.

    Verticals take turns in giving a subvertical, then the subverticals take turns in giving a name.
    """
    names = load_names().sample(frac=1, random_state=rng)
    subs = load_subverticals().sample(frac=1, random_state=rng)
    turn = subs.groupby("vertical", sort=False).cumcount()
    subs = subs.iloc[np.argsort(turn.to_numpy(), kind="stable")][: int(np.ceil(n / _WANTED_PER_SUBVERTICAL))]
    names = names[names["subvertical"].isin(subs["subvertical"])]
    turn = names.groupby("subvertical", sort=False).cumcount()
    chosen = names.iloc[np.argsort(turn.to_numpy(), kind="stable")[:n]]
    return chosen.sample(frac=1, random_state=rng), subs.sort_values("subvertical", ignore_index=True)


def _lifetimes(settings: WorldSettings, sub: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """First and last active day of each advertiser; of every subvertical at least one is there all the time."""
    n, last = len(sub), settings.total_days - 1
    active_from = -rng.integers(30, 900, n)
    active_to = np.full(n, FOREVER)
    order = rng.permutation(n)
    _, first = np.unique(sub[order], return_index=True)
    movers = np.delete(order, first)
    if last > 21:
        entering, leaving = round(settings.entering * n), round(settings.leaving * n)
        who = movers[:entering]
        active_from[who] = rng.integers(14, last - 6, len(who))
        who = movers[entering : entering + leaving]
        active_to[who] = rng.integers(14, last - 6, len(who))
    return active_from, active_to


def _ads_of(n: int, brand: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n,) the advertiser of each ad: one each, the rest more often of the strong brands, shuffled."""
    weight = np.exp(0.5 * brand)
    more = rng.choice(len(brand), size=n - len(brand), p=weight / weight.sum())
    found: np.ndarray = rng.permutation(np.concatenate([np.arange(len(brand)), more]))
    return found


def _creation_days(active_from: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(N,) day an ad was made: while its advertiser was active, before the logs; of a newcomer, days before."""
    made_before = np.where(active_from < 0, (rng.random(len(active_from)) * -active_from).astype(np.int64), 0)
    return np.where(active_from < 0, -1 - made_before, active_from - rng.integers(1, 15, len(active_from)))
