"""Daily budgets with pacing: at the start of each block of hours, how often each advertiser takes part.

An advertiser takes part in an auction with probability

    p = min(1, left of the budget / spend expected at full participation)

(probabilistic throttling: Agarwal, Ghosh, Wei and You 2014, "Budget pacing for targeted online advertisements at
LinkedIn"; Karande, Mehta and Srikant 2013): expected from now to midnight if it paces its budget, in this block if it
spends as soon as it can. What to expect is learned from the blocks before: spend / p per share of the day's traffic,
fading. A budget that is used up takes its advertiser out for the day.

Decided from the state at the start of a block and in whole millionths of a dollar, so neither the number of processes
nor the order of their sums matters. The price is that a budget may be passed by what the last block brings; as on real
platforms, what a day spends too much or too little is made up for on the next, up to a share of the budget. Several
markets may live side by side, each with its share of every budget. It does not know users or ads.
"""

from __future__ import annotations

import numpy as np

from ml.world.clock import traffic

MICROS = 1_000_000
"""Millionths of a dollar in a dollar."""
_NEWEST = 0.5
"""Weight that a whole day's traffic has in what is expected; a block has its part of it."""
_CARRIED = 0.3
"""Share of a day's budget up to which the day before is made up for: nobody's spend drifts from the budget, in small
markets either, where chance decides by how much a block passes it."""
_LEAST = 0.02
"""Least participation while there is money left: demand goes on being measured."""


class Budgets:
    """State of all markets (M) and advertisers (A) on the current day.

    Args:
        daily: (A,) budget in dollars a day.
        even: (A,) True where spending is spread over the day.
        hours: hours in a block; a divisor of 24.
        shares: (M,) share of every budget that each market has.
    """

    def __init__(self, daily: np.ndarray, even: np.ndarray, hours: int, shares: np.ndarray) -> None:
        self.hours, self.blocks = hours, 24 // hours
        self._daily, self._even, self._shares = daily, even, shares
        self.limit = self._limits(np.ones(len(daily)))
        self.spent = self.limit.copy()
        """(M, A) millionths of a dollar, today; at first as if yesterday had come out even."""
        self._demand = np.zeros(self.limit.shape)
        """(M, A) millionths of a dollar a whole day's traffic would cost at full participation; 0: not yet known."""

    def split(self, shares: np.ndarray) -> Budgets:
        """The budgets of one market divided among several, which expect what it expects, in proportion."""
        found = Budgets(self._daily, self._even, self.hours, shares)
        for name in ("_demand", "limit", "spent"):
            whole = getattr(self, name)
            setattr(found, name, np.round(shares[:, None] * whole.sum(axis=0)).astype(whole.dtype))
        return found

    def open(self, season: np.ndarray) -> None:
        """A day begins; season: (A,) what the usual budgets are multiplied with."""
        usual = self._limits(season)
        most = np.round(_CARRIED * usual).astype(np.int64)
        self.limit = usual + np.clip(self.limit - self.spent, -most, most)
        self.spent = np.zeros_like(self.limit)

    def participation(self, block: int) -> np.ndarray:
        """(M, A) float32 probability of taking part in each auction of a block."""
        left = np.maximum(self.limit - self.spent, 0)
        first = block * self.hours
        expected = self._demand * np.where(self._even, traffic(first, 24), traffic(first, first + self.hours))
        paced = np.where(expected > 0, np.clip(left / np.maximum(expected, 1.0), _LEAST, 1.0), 1.0)
        found: np.ndarray = np.where(left > 0, paced, 0.0).astype(np.float32)
        return found

    def settle(self, block: int, spent: np.ndarray, participation: np.ndarray) -> None:
        """Take in what a block has cost, (M, A) millionths of a dollar, at the participation it had."""
        self.spent += spent
        share = traffic(block * self.hours, (block + 1) * self.hours)
        seen = spent / np.maximum(participation, _LEAST) / share
        weight = _NEWEST * share
        new = np.where(self._demand > 0, weight * seen + (1 - weight) * self._demand, seen)
        self._demand = np.where(participation > 0, new, self._demand)

    def _limits(self, season: np.ndarray) -> np.ndarray:
        found: np.ndarray = np.round(self._shares[:, None] * self._daily * season * MICROS).astype(np.int64)
        return found
