"""Simulated A/B tests: what an experiment would have estimated, to be set beside what replay knows.

    groups = assign(settings.users, replicates=10, chance=Chance(1))
    budget_split(replay, a, b, days=7, groups=groups)     # {"conversions": Estimate(...), "cpa": ..., ...}
    user_split(replay, a, b, days=7, groups=groups)
    truth(replay, a, b, days=7)

Every difference is A minus B at the scale of the whole platform, everybody under A against everybody under B.

* Budget-split (Basse, Soufiani and Lambert 2016, "Randomization and the pernicious effects of limited budgets on
  auction experiments"; Liu, Mao and Kang 2021, "Trustworthy and powerful online marketplace experimentation with
  budget-split design"): users and every advertiser's budget are split into markets that share nothing; half of them
  run A, half B. The unit is a replicate: one market of each.
* User-split: users are split, budgets are shared. What one arm spends, the other lacks, so the estimate is biased.

Estimates are ratios of sums with the jackknife over replicates (Quenouille 1956; Tukey 1958), which takes the
first-order bias of a ratio away; intervals take t with replicates - 1 degrees of freedom. It does not know why arms
differ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ml.world.clock import Chance, Stage
from ml.world.draws import uniform
from ml.world.policies import Policy, SplitPolicy
from ml.world.replay import METRICS, Outcome, Replay, Split, Totals

MEASURES: dict[str, Callable[[Totals], float]] = {
    "conversions": lambda totals: totals.conversions,
    "cpa": lambda totals: totals.cpa,
    "roas": lambda totals: totals.roas,
    "revenue": lambda totals: totals.spend,
}
"""What is compared: all conversions, cost per credited conversion, credited value over spend, dollars spent."""


@dataclass(frozen=True)
class Estimate:
    """A difference A - B with its interval; `value` alone if it is the truth."""

    value: float
    low: float
    high: float

    def covers(self, truth: float) -> bool:
        """The interval holds it."""
        return self.low <= truth <= self.high


@dataclass(frozen=True)
class Groups:
    """Users in 2 x replicates groups, as even as can be; groups 2r (arm A) and 2r + 1 (arm B) are a replicate."""

    group_of: np.ndarray
    replicates: int

    @property
    def in_b(self) -> np.ndarray:
        """(U,) True for users of arm B."""
        found: np.ndarray = self.group_of % 2 == 1
        return found

    @property
    def sizes(self) -> np.ndarray:
        """(2 x replicates,) users in each group."""
        return np.bincount(self.group_of, minlength=2 * self.replicates)


def assign(users: int, replicates: int, chance: Chance) -> Groups:
    """Split users at random.

    Raises:
        ValueError: fewer than 2 replicates, or more groups than users.
    """
    if replicates < 2 or 2 * replicates > users:
        raise ValueError(f"{users} users do not make {replicates} replicates of two groups each; at least 2 are needed")
    order = np.argsort(uniform(chance.keys(Stage.MARKETS, np.arange(users))), kind="stable")
    group = np.empty(users, dtype=np.int64)
    group[order] = np.arange(users) % (2 * replicates)
    return Groups(group, replicates)


def budget_split(replay: Replay, a: Policy, b: Policy, days: int, groups: Groups) -> dict[str, Estimate]:
    """Estimates of an experiment in which every group is a market with its share of every budget."""
    markets = Split(groups.group_of, groups.sizes / len(groups.group_of))
    return estimates(replay.run(SplitPolicy(a, b, groups.in_b), days, markets), groups)


def user_split(replay: Replay, a: Policy, b: Policy, days: int, groups: Groups) -> dict[str, Estimate]:
    """Estimates of an experiment in which all groups spend the same budgets."""
    return estimates(replay.run(SplitPolicy(a, b, groups.in_b), days), groups)


def truth(replay: Replay, a: Policy, b: Policy, days: int) -> dict[str, float]:
    """The differences themselves: the days with everybody under A, and with everybody under B."""
    under_a, under_b = (replay.run(policy, days).totals for policy in (a, b))
    return {name: measure(under_a) - measure(under_b) for name, measure in MEASURES.items()}


def estimates(outcome: Outcome, groups: Groups, confidence: float = 0.95) -> dict[str, Estimate]:
    """Differences A - B at the scale of all users, from one experiment's outcome."""
    sums = outcome.by_group(groups.group_of)[list(METRICS)].to_numpy().reshape(groups.replicates, 2, len(METRICS))
    sizes = groups.sizes.reshape(groups.replicates, 2)
    users = len(groups.group_of)
    all_of_them = np.ones(groups.replicates, dtype=bool)
    found = {}
    for name, measure in MEASURES.items():
        whole = _difference(measure, sums, sizes, all_of_them, users)
        without = [
            _difference(measure, sums, sizes, all_of_them & ~one, users) for one in np.eye(len(sums), dtype=bool)
        ]
        found[name] = _jackknife(whole, np.array(without), confidence)
    return found


def _difference(
    measure: Callable[[Totals], float], sums: np.ndarray, sizes: np.ndarray, kept: np.ndarray, users: int
) -> float:
    """A - B of some replicates, scaled up to all users."""
    scaled = sums[kept].sum(axis=0) * (users / sizes[kept].sum(axis=0))[:, None]
    a, b = (measure(Totals(*row.tolist())) for row in scaled)
    return a - b


def _jackknife(whole: float, without: np.ndarray, confidence: float) -> Estimate:
    """Bias-corrected estimate and interval from the estimates without one replicate each."""
    from scipy.special import stdtrit

    n = len(without)
    parts = n * whole - (n - 1) * without
    value = float(parts.mean())
    reach = float(stdtrit(n - 1, (1 + confidence) / 2) * parts.std(ddof=1) / np.sqrt(n))
    return Estimate(value, value - reach, value + reach)
