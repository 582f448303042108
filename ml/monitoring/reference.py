"""DriftReference: what the data looked like in the window that the models were trained on.

For each feature the bins (quantile edges of a number; the commonest values, and one bin for all others), what the
reference's windows hold in each, and how much those windows differ among themselves (`dispersion`). The bins are
stored, so every later day is counted into the very same ones. Its windows are as long as those compared with it:
users active in a week are compared with users active in a week. It does not know what comes after it.

    reference = build_reference(lake, cutoff, settings, settle_days=7); reference.save(path)
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Literal, Self

import duckdb
import numpy as np
import pandas as pd

from ml.artifacts import fingerprint_of, write_json
from ml.errors import BadInput
from ml.lake import Lake
from ml.monitoring.completeness import Share, missing_by_day, missing_profiles
from ml.monitoring.divergence import dispersion
from ml.monitoring.features import FEATURES, count, prepare
from ml.monitoring.settings import DriftSettings

OTHER = "(other)"
_EXPECTED = 5
"""Users or events that a bin must expect in a window: with fewer, PSI is no longer about chi-squared."""


@dataclass(frozen=True)
class Bins:
    """One feature's bins and what the reference has in them.

    Attributes:
        labels: what each bin holds, in words; the last of a categorical feature is OTHER.
        edges: inner edges of a numeric feature's bins, ascending; a bin holds its lower edge. Else empty.
        counts: users or events of all reference windows, by bin.
        dispersion: see `ml.monitoring.divergence`.
    """

    kind: Literal["categorical", "numeric"]
    labels: tuple[str, ...]
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    dispersion: float

    def place(self, values: pd.DataFrame) -> np.ndarray:
        """(bins,) counts of columns value, n."""
        if self.kind == "numeric":
            row: np.ndarray = np.searchsorted(self.edges, values["value"].to_numpy(dtype=np.float64), side="right")
        else:
            number = {label: i for i, label in enumerate(self.labels)}
            row = values["value"].map(number).fillna(number[OTHER]).to_numpy(dtype=np.int64)
        return np.bincount(row, values["n"].to_numpy(dtype=np.float64), minlength=len(self.labels)).astype(np.int64)


@dataclass(frozen=True)
class DriftReference:
    """The training window as drift reports see it.

    Attributes:
        first, last: its days that are compared with; `last` is the predictor cutoff of the training.
        window_days: length of each of its windows.
        features: bins by feature.
        missing: rows without a value, by watched column.
        seen: ids of the advertisers with a conversion known by `last`.
        unseen: conversions of its newest window with advertisers not seen before it: what is usual.
    """

    first: date
    last: date
    window_days: int
    features: dict[str, Bins]
    missing: dict[str, Share]
    seen: frozenset[str]
    unseen: Share

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(self._as_json())

    def save(self, path: Path) -> None:
        """Write it as JSON, with its fingerprint."""
        write_json(path, {**self._as_json(), "fingerprint": self.fingerprint})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            BadInput: the file was changed since.
        """
        stored = json.loads(path.read_text())
        found = cls(
            first=date.fromisoformat(stored["first"]),
            last=date.fromisoformat(stored["last"]),
            window_days=stored["window_days"],
            features={
                name: Bins(b["kind"], tuple(b["labels"]), tuple(b["edges"]), tuple(b["counts"]), b["dispersion"])
                for name, b in stored["features"].items()
            },
            missing={name: Share(**counts) for name, counts in stored["missing"].items()},
            seen=frozenset(stored["seen"]),
            unseen=Share(**stored["unseen"]),
        )
        if found.fingerprint != stored["fingerprint"]:
            raise BadInput(
                "the drift reference is not as it was saved",
                where=str(path),
                remedy="materialize drift_reference again; its bins must not be edited by hand",
            )
        return found

    def _as_json(self) -> dict[str, object]:
        plain = asdict(self) | {"first": self.first.isoformat(), "last": self.last.isoformat()}
        return plain | {"seen": sorted(self.seen)}


def build_reference(lake: Lake, cutoff: date, settings: DriftSettings, *, settle_days: int) -> DriftReference:
    """Count the last whole windows of the training window.

    Args:
        lake: validated logs; nothing known after `cutoff` is read.
        cutoff: the training's predictor cutoff.
        settings: lengths and bins.
        settle_days: days from the first conversion on that are left out: reports of older ones came in late.

    Raises:
        BadInput: the logs before the cutoff do not hold one whole window.
    """
    with lake.connect(as_of=cutoff) as con:
        windows = _whole_windows(con, cutoff, settings, settle_days)
        prepare(con, cutoff, settings.window_days, windows)
        first = cutoff - timedelta(days=windows * settings.window_days - 1)
        by_day = missing_by_day(con, first, cutoff)
        seen, before = _seen(con, cutoff), _seen(con, cutoff - timedelta(days=settings.window_days))
        return DriftReference(
            first=first,
            last=cutoff,
            window_days=settings.window_days,
            features={
                name: _bins(feature.kind, count(con, feature), windows, settings) for name, feature in FEATURES.items()
            },
            missing={
                **{name: Share(int(d["concerned"].sum()), int(d["rows"].sum())) for name, d in by_day.items()},
                **missing_profiles(con, windows),
            },
            seen=seen,
            unseen=unseen(con, before) if before else Share(0, 0),
        )


def _whole_windows(con: duckdb.DuckDBPyConnection, cutoff: date, settings: DriftSettings, settle_days: int) -> int:
    start = con.execute("SELECT min(event_time)::DATE FROM conversions").fetchall()[0][0]
    days = (cutoff - start).days + 1 - settle_days if start else 0
    windows = min(settings.reference_days, days) // settings.window_days
    if windows < 1:
        raise BadInput(
            f"the training window up to {cutoff} holds {max(days, 0)} settled days, fewer than one window of "
            f"{settings.window_days} days",
            where="drift_reference",
            remedy="train on a later day, or ingest older logs",
        )
    return windows


def _bins(kind: Literal["categorical", "numeric"], values: pd.DataFrame, windows: int, settings: DriftSettings) -> Bins:
    """Bins of a feature from columns span, value, n, and the reference's counts in them."""
    if kind == "numeric":
        edges = _quantile_edges(values, settings.numeric_bins)
        labels = tuple(_interval(low, high) for low, high in zip([None, *edges], [*edges, None], strict=True))
        empty = Bins(kind, labels, edges, (), 1.0)
    else:
        total = values.groupby("value")["n"].sum().sort_index().sort_values(ascending=False, kind="stable")
        common = total[total / windows >= _EXPECTED].index[: settings.top_values]
        empty = Bins(kind, (*map(str, common), OTHER), (), (), 1.0)
    by_window = np.stack([empty.place(values[values["span"] == span]) for span in range(windows)])
    counts = tuple(int(n) for n in by_window.sum(axis=0))
    return Bins(kind, empty.labels, empty.edges, counts, round(dispersion(by_window), 4))


def _quantile_edges(values: pd.DataFrame, bins: int) -> tuple[float, ...]:
    """Inner edges at equal shares, without repeats: a value that fills several shares gets one bin."""
    if values.empty:
        return ()
    total = values.groupby("value")["n"].sum().sort_index()
    upto = total.cumsum().to_numpy() / total.sum()
    at = np.searchsorted(upto, np.arange(1, bins) / bins, side="left")
    edges = total.index.to_numpy(dtype=np.float64)[np.unique(at)]
    return tuple(float(edge) for edge in edges if edge > total.index[0])


def _interval(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return "any"
    if low is None:
        return f"below {high:g}"
    return f"{low:g} or more" if high is None else f"{low:g} to {high:g}"


def unseen(con: duckdb.DuckDBPyConnection, seen: Collection[str]) -> Share:
    """Conversions of the newest window (of `recent`), and those of them with advertisers not seen before."""
    query = "SELECT advertiser_id, count(*) FROM recent WHERE kind = 'conversion' AND span = 0 GROUP BY ALL"
    found = con.execute(query).fetchall()
    return Share(sum(n for key, n in found if key not in seen), sum(n for _, n in found))


def _seen(con: duckdb.DuckDBPyConnection, by: date) -> frozenset[str]:
    query = """
        SELECT DISTINCT advertiser_id FROM conversions SEMI JOIN (FROM users WHERE consent) USING (user_id)
        WHERE greatest(coalesce(known_at, event_time), event_time) < $by::DATE + 1
    """
    return frozenset(key for (key,) in con.execute(query, {"by": by}).fetchall())
