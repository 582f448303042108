"""What people do about ads: clicks, and the conversions of the day.

A click is likelier at the top, for good ads, for what the user likes, and much likelier for what the
user wants right now; it may end an intent on the spot or cause an impulse conversion. An intent that
comes due converts with an advertiser of its subvertical: by liking, lean, memory and recent exposure.
Every draw belongs to what it is about (a request and an ad, an intent and an advertiser, a conversion), so that under
another policy only what follows from other ads is otherwise. Credit for conversions is given in `credit`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ml.world.auction import POSITION_DECAY
from ml.world.clock import DAY, HOUR, Chance, Stage
from ml.world.credit import LATEST, Ledger, reporting_delays
from ml.world.draws import Keys, gumbel, normal, uniform
from ml.world.intents import Intents
from ml.world.memory import PairMemory
from ml.world.pool import Pool, Rows, stack, take
from ml.world.population import Population

_WANTS, _LIKES, _LIKES_BRAND = 2.0, 0.35, 0.5
"""Logits of a click: for an open intent, per e-fold of interest over the average, per logit of brand liking."""
_FULFILS, _IMPULSE = 0.35, 0.04
"""Chance that a click converts, with and without an open intent for it."""
_LEAN = 1.6
"""Logit of the advertiser an intent leaned to from the start."""
_VIEWED, _CLICKED, _EXPOSURE_LEFT = 0.3, 0.8, 0.7
"""Logit an impression and a click add to their advertiser, and the share of it left a day later."""


@dataclass
class Response:
    """Answers of a shard's users to ads, and their conversions."""

    population: Population
    intents: Intents
    chance: Chance
    exposure: PairMemory = field(init=False)
    """How much of each advertiser a user has seen lately, logit."""
    promised: Pool = field(default_factory=lambda: Pool("user", "advertiser"))
    """Conversions that will happen: clicks that led somewhere, repeat purchases."""
    ledger: Ledger = field(init=False)
    slower: float = 1.0
    """What a scenario multiplies the time with until a conversion is known."""

    def __post_init__(self) -> None:
        settings, n = self.population.settings, len(self.population.catalogue.names)
        self.exposure = PairMemory(n, _EXPOSURE_LEFT)
        self.ledger = Ledger(n, settings.click_days, settings.view_days)

    def clicks(self, day: int, shown: Rows) -> Rows:
        """Clicks on a block's impressions, by time: impression, time, dwell_seconds.

        They may end intents.
        """
        people, catalogue = self.population, self.population.catalogue
        user, adv, ad = shown["user"], shown["advertiser"], shown["ad"]
        sub = catalogue.sub[adv]
        intent = self.intents.wanting(user, sub, shown["time"])
        average = catalogue.rate / catalogue.rate.sum()
        likes = np.log(people.interest[user, sub] / average[sub])
        logit = _WANTS * (intent >= 0) + _LIKES * np.clip(likes, -2, 2)
        logit += _LIKES_BRAND * people.liking(user, adv) + catalogue.ad_quality[ad]
        chance = people.settings.click_rate * POSITION_DECAY ** shown["place"] * np.exp(logit)
        keys = self.chance.keys(Stage.CLICKS, shown["key"], ad)
        row = np.flatnonzero(uniform(keys) < np.minimum(chance, 0.6))
        more = self.chance.keys(Stage.FOLLOWING, keys[row])
        time = np.minimum(shown["time"][row] + 1 + (59 * uniform(more)).astype(np.int64), (day + 1) * DAY - 1)
        dwell = np.round(np.exp(2.6 + 0.9 * (intent[row] >= 0) + 0.9 * normal(more)), 1)
        self._follow(user[row], adv[row], time, intent[row], more)
        self.exposure.add(user, adv, _VIEWED)
        self.exposure.add(user[row], adv[row], _CLICKED)
        self.ledger.add(day, shown, row, time)
        clicks: Rows = {"impression": shown["impression"][row], "time": time, "dwell_seconds": dwell}
        return take(clicks, np.lexsort((row, time)))

    def conversions(self, day: int) -> Rows:
        """Conversions of a day by time: user, advertiser, time, known, value (dollars), and what `Ledger.credit` adds.

        The value lies around what the advertiser charges.
        """
        catalogue = self.population.catalogue
        found = stack(self._decide(self.intents.due(day), day), self.promised.take_until((day + 1) * DAY))
        found = take(found, catalogue.active(day)[found["advertiser"]])
        found = take(found, np.lexsort((found["advertiser"], found["user"], found["time"])))
        whose = (self.population.first + found["user"], found["advertiser"], found["time"])
        self._promise_repeats(found, self.chance.keys(Stage.REPEATS, *whose))
        self.population.remember(found["user"], found["advertiser"])
        keys = self.chance.keys(Stage.REPORTING, *whose)
        delays = reporting_delays(uniform(keys), uniform(self.chance.keys(Stage.REPORTING, keys)))
        found["known"] = found["time"] + np.minimum((delays * self.slower).astype(np.int64), LATEST)
        usual = catalogue.usual_price[found["advertiser"]]
        luck = normal(self.chance.keys(Stage.VALUES, *whose))
        found["value"] = np.round(usual * np.exp(-0.1 + 0.5 * luck), 2)
        credited = self.ledger.credit(found)
        self.exposure.fade()
        self.ledger.close(day)
        return credited

    def _follow(self, user: np.ndarray, adv: np.ndarray, time: np.ndarray, intent: np.ndarray, keys: Keys) -> None:
        """Promise the conversions that clicks lead to; an intent is fulfilled once."""
        converts = uniform(self.chance.keys(Stage.FOLLOWING, keys)) < np.where(intent >= 0, _FULFILS, _IMPULSE)
        _, first = np.unique(np.where(converts, intent, -1), return_index=True)
        is_first = np.zeros(len(user), dtype=bool)
        is_first[first] = True
        goes = converts & ((intent < 0) | is_first)
        self.intents.fulfil(intent[goes & (intent >= 0)])
        wait = -1.5 * HOUR * np.log1p(-uniform(self.chance.keys(Stage.FOLLOWING, keys, 1)))
        self.promised.add(time=(time + 60 + wait.astype(np.int64))[goes], user=user[goes], advertiser=adv[goes])

    def _decide(self, due: Rows, day: int) -> Rows:
        """Intents that convert now, each with its advertiser: argmax of utility plus noise of (intent, advertiser)."""
        people, catalogue, user = self.population, self.population.catalogue, due["user"]
        members = catalogue.members[due["sub"]]
        some = np.maximum(members, 0)
        utility = people.brand_utility(user[:, None], some)
        utility += np.minimum(self.exposure.of(user[:, None], some), 2.0) + _LEAN * (members == due["lean"][:, None])
        whose = (people.first + user, due["sub"], due["start"])
        keys = self.chance.keys(Stage.CHOICE, *(part[:, None] for part in whose), some)
        utility[(members < 0) | ~catalogue.active(day)[some]] = -np.inf
        best = np.argmax(utility + gumbel(keys), axis=1)
        return {"time": due["time"], "user": user, "advertiser": members[np.arange(len(user)), best]}

    def _promise_repeats(self, found: Rows, keys: Keys) -> None:
        """Goods that are used up are bought again, of the same advertiser, days to weeks later."""
        catalogue = self.population.catalogue
        used_up = catalogue.subverticals["repeat"].to_numpy()[catalogue.sub[found["advertiser"]]]
        again = uniform(keys) < self.population.settings.repeat_share * used_up
        halves = [np.log1p(-uniform(self.chance.keys(Stage.REPEATS, keys, part))) for part in (1, 2)]
        wait = (DAY * (4 - 6.0 * (halves[0] + halves[1]))).astype(np.int64)
        self.promised.add(
            time=(found["time"] + wait)[again], user=found["user"][again], advertiser=found["advertiser"][again]
        )
