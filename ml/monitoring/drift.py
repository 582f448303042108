"""DriftReport: the windows up to a day against the reference of the training, feature by feature.

A feature alerts when the effect is large (debiased PSI) AND it is no chance (p-value given the reference's own
dispersion) AND there are users or events enough. Advertisers that came or left in between are no drift of the
advertiser mix: they are taken out of both sides, and those never seen in training have a row of their own. Missing
values and quarantined rows are faults of the data, kept apart from drift: nobody should retrain on them.

It does not decide what to do about it: `ml.monitoring.policy` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any, Literal

import duckdb
import numpy as np
import pandas as pd

from ml.lake import Lake
from ml.monitoring.completeness import Share, missing_by_day, missing_profiles, newest, quarantined
from ml.monitoring.divergence import compare, shares
from ml.monitoring.features import FEATURES, Feature, advertisers_between, count, prepare
from ml.monitoring.reference import Bins, DriftReference, unseen
from ml.monitoring.settings import DriftSettings

Verdict = Literal["too_few", "ok", "warn", "alert"]
ORDER: tuple[Verdict, ...] = ("too_few", "ok", "warn", "alert")
MOVED = 3
"""Bins that a row names: those that moved most."""


@dataclass(frozen=True)
class Row:
    """One line of a report.

    Attributes:
        feature: its name; title: what a person calls it.
        concern: drift of the input, advertisers unseen in training, missing values, or quarantined rows.
        statistic: "psi" (debiased), or "share" (above the reference's, except of quarantined rows).
        value, threshold: of the statistic; from the threshold on the row alerts.
        raw: psi before its mean under no drift is taken off, as other tools show it; js: Jensen-Shannon divergence.
            Both for information: of a small shift js is psi / (8 ln 2), so a threshold of its own would add nothing.
        n, n_reference: users, events or rows.
        moved: of the bins that moved most: value, share in the reference, share now.
    """

    feature: str
    title: str
    concern: Literal["input", "unseen", "missing", "quarantine"]
    kind: Literal["categorical", "numeric", "share"]
    statistic: Literal["psi", "share"]
    value: float
    threshold: float
    p_value: float | None
    raw: float | None
    js: float | None
    n: int
    n_reference: int
    verdict: Verdict
    moved: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class DriftReport:
    """All rows of one day. `input`: drift of people and catalogue; `fault`: of the data's delivery."""

    day: date
    first: date
    reference_first: date
    reference_last: date
    rows: tuple[Row, ...]

    @property
    def input(self) -> Verdict:
        return worst(row.verdict for row in self.rows if row.concern in ("input", "unseen"))

    @property
    def fault(self) -> Verdict:
        return worst(row.verdict for row in self.rows if row.concern in ("missing", "quarantine"))

    def as_json(self) -> dict[str, Any]:
        """For report.json: the fields, the two verdicts and the rows."""
        days = {name: getattr(self, name).isoformat() for name in ("day", "first", "reference_first", "reference_last")}
        return {**days, "input": self.input, "fault": self.fault, "rows": [asdict(row) for row in self.rows]}


def worst(verdicts: Any) -> Verdict:
    """The gravest of some verdicts; too_few if there is none."""
    return max(verdicts, key=ORDER.index, default="too_few")


def measure_drift(
    lake: Lake,
    day: date,
    reference: DriftReference,
    volumes: Mapping[str, pd.DataFrame],
    settings: DriftSettings,
) -> DriftReport:
    """Compare the window that ends on `day` with the reference.

    Args:
        lake: validated logs; nothing known after `day` is read.
        volumes: columns day, rows, quarantined of each raw table, as the ingest counted them.
    """
    length = reference.window_days
    first = day - timedelta(days=length - 1)
    with lake.connect(as_of=day) as con:
        prepare(con, day, length, 1)
        changed = advertisers_between(con, reference.last, day)
        rows = [_distribution(con, f, reference.features[f.name], changed, settings) for f in FEATURES.values()]
        rows.append(_unseen(con, reference, settings))
        by_day = missing_by_day(con, first, day)
        missing = {name: newest(d, day, settings.min_n, length) for name, d in by_day.items()}
        missing |= missing_profiles(con, 1)
    rows += [_missing(name, now, reference.missing[name], settings) for name, now in missing.items()]
    for table, counts in quarantined(volumes).items():
        rows.append(_quarantine(table, newest(counts, day, settings.min_n, length), settings))
    there = tuple(row for row in rows if row.n or row.n_reference)
    return DriftReport(day, first, reference.first, reference.last, there)


def _distribution(
    con: duckdb.DuckDBPyConnection, feature: Feature, bins: Bins, changed: set[str], settings: DriftSettings
) -> Row:
    values, then, labels = count(con, feature), np.array(bins.counts), np.array(bins.labels, dtype=object)
    keep = np.ones(len(labels), dtype=bool)
    if feature.of_catalogue:
        values = values[~values["value"].isin(changed)]
        keep = ~np.isin(labels, list(changed))
    now, then, labels = bins.place(values)[keep], then[keep], labels[keep]
    n, m, no_move = int(now.sum()), int(then.sum()), tuple[dict[str, Any], ...]()
    if n < settings.min_n or m < settings.min_n or len(labels) < 2:
        found, verdict, moved = None, ORDER[0], no_move
    else:
        found = compare(now, then, bins.dispersion)
        verdict = _graded(found.debiased, settings.psi_warn, settings.psi_alert, found.p_value, settings)
        moved = _moved(_named(con, labels) if feature.of_catalogue else labels, now, then)
    return Row(
        feature=feature.name,
        title=feature.title,
        concern="input",
        kind=feature.kind,
        statistic="psi",
        value=round(found.debiased, 4) if found else 0.0,
        threshold=settings.psi_alert,
        p_value=found.p_value if found else None,
        raw=round(found.psi, 4) if found else None,
        js=round(found.js, 4) if found else None,
        n=n,
        n_reference=m,
        verdict=verdict,
        moved=moved,
    )


def _named(con: duckdb.DuckDBPyConnection, advertisers: np.ndarray) -> np.ndarray:
    """Names in place of ids, where the register knows them."""
    names = dict(con.execute("SELECT advertiser_id, name FROM advertisers").fetchall())
    return np.array([names.get(key, key) for key in advertisers], dtype=object)


def _moved(labels: np.ndarray, now: np.ndarray, then: np.ndarray) -> tuple[dict[str, Any], ...]:
    p, q = shares(now), shares(then)
    most = [i for i in np.argsort(-np.abs(p - q), kind="stable")[:MOVED] if abs(p[i] - q[i]) >= 0.001]
    return tuple(
        {"value": str(labels[i]), "reference": round(float(q[i]), 4), "now": round(float(p[i]), 4)} for i in most
    )


def _unseen(con: duckdb.DuckDBPyConnection, reference: DriftReference, settings: DriftSettings) -> Row:
    return _above(
        "unseen_advertisers",
        "conversions with advertisers never seen in training",
        "unseen",
        unseen(con, reference.seen),
        reference.unseen,
        settings.max_unseen_share,
        settings,
    )


def _missing(name: str, now: Share, usual: Share, settings: DriftSettings) -> Row:
    return _above(name, f"{name} without a value", "missing", now, usual, settings.max_missing_increase, settings)


def _quarantine(table: str, now: Share, settings: DriftSettings) -> Row:
    title, nothing = f"rows of {table} in quarantine", Share(0, 0)
    return _above(f"{table}.quarantined", title, "quarantine", now, nothing, settings.max_quarantined_share, settings)


def _above(
    name: str,
    title: str,
    concern: Literal["unseen", "missing", "quarantine"],
    now: Share,
    usual: Share,
    most: float,
    settings: DriftSettings,
) -> Row:
    """A row for a share that may exceed the usual one by less than `most`."""
    from scipy.stats import binom

    expected = (usual.concerned + 0.5) / (usual.rows + 1) if usual.rows else 0.0
    p_value = float(binom.sf(now.concerned - 1, now.rows, expected)) if now.rows else 1.0
    excess, few = now.value - usual.value, now.rows < settings.min_n
    verdict: Verdict = "too_few" if few else _graded(excess, most / 2, most, p_value, settings)
    moved = ({"value": title, "reference": round(usual.value, 4), "now": round(now.value, 4)},)
    return Row(
        feature=name,
        title=title,
        concern=concern,
        kind="share",
        statistic="share",
        value=round(excess, 4),
        threshold=most,
        p_value=p_value,
        raw=None,
        js=None,
        n=now.rows,
        n_reference=usual.rows,
        verdict=verdict,
        moved=moved,
    )


def _graded(value: float, warn: float, alert: float, p_value: float, settings: DriftSettings) -> Verdict:
    if p_value > settings.max_p or value < warn:
        return "ok"
    return "alert" if value >= alert else "warn"
