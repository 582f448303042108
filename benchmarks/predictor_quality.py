"""Who forecasts advertisers best on amazon14's test users: rows Q1 to Q5, out of the pieces of `quality_pieces`.

    python -m benchmarks.quality_pieces --data <amazon14>       hours, in as many sittings as you like
    python -m benchmarks.predictor_quality --data <amazon14>    a minute: docs/results/predictor-quality.*

Settings, the best source, blends and calibrators come from the validation fold. Every source is corrected for what
everybody has bought lately (`ml.predictors.prior_shift`, fitted on the validation fold, shares of the test fold);
"as trained" is it without. Differences are paired over the test users, with 95 % intervals. A row whose piece is
missing is left out, and named. A source that ranks a user's own past advertisers high finds more of all targets and
fewer NEW ones: `unseen_recall@k` is that of NEW targets among advertisers the user has not converted with, where this
choice plays no part.

Q1  the LLM against the best single source (by validation recall), recall@10 of all and of NEW advertisers
Q2  the LLM blended with the source that helps it most, against the best blend of two others, each stacked on validation
Q3  share of hits at 20 that no source without a language model has, against that of a second seed of one of these
Q4  advertisers never trained on: recall@10 against a random pick of their vertical and text neighbours
Q5  calibration of the LLM as trained, corrected, and with a calibrator on top, against popularity
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from benchmarks.harness import Row, write_results
from benchmarks.quality_pieces import SEEDED, SEEDS, Bench
from ml.evaluation.bootstrap import EvaluationSettings, Resamples, ratio_of_sums
from ml.evaluation.calibration import Forecasts, calibration
from ml.evaluation.left_out import judge_left_out, of_left_out, past_counts, text_neighbours
from ml.evaluation.ranked import exclusive_hits, exclusive_ratio, groups_of, judge, ranks_in_matrix
from ml.evaluation.results import Interval
from ml.predictors.blend import BlendSettings, best_pair, fit_blend, rank_partners
from ml.predictors.calibration import fit_calibrator
from ml.predictors.fold import Fold
from ml.predictors.pooling import Pasts
from ml.predictors.prior_shift import Shifts, fit_prior_shift, log_shifts
from ml.predictors.registry import BASELINES
from ml.predictors.tuning import objective

SHOWN = (
    *(f"recall@{k}" for k in (1, 5, 10, 20, 50)),
    *("ndcg@10", "mrr@10", "new_recall@10", "new_recall@20", "short_recall@20", "rare_recall@20"),
)
SETTINGS = EvaluationSettings(resamples=2000)


def log_shifts_of(fold: Fold) -> Shifts:
    """What has been bought lately against always, at the fold's cutoff."""
    return log_shifts(fold.examples.contexts, fold.examples.catalogue["advertiser_id"].to_numpy())


class Study:
    """The pieces at hand, and what the validation fold decides."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.validation, self.test = bench.judged("validation"), bench.fold("test")
        self.missing: list[str] = []
        self.sources = [name for name in BASELINES if self.has("validation", name) and self.has("test", name)]
        raw = {name: bench.read("validation", name) for name in self.sources}
        if self.has("validation", "llm"):
            raw["llm"] = bench.read("validation", "llm")
        shifts, self.shifts = (log_shifts_of(fold) for fold in (self.validation, self.test))
        self.corrections = {name: fit_prior_shift(p, self.validation.column, shifts) for name, p in raw.items()}
        self.said = {name: self.corrections[name].apply(p, shifts) for name, p in raw.items()}
        self.llm = self.said.pop("llm", None)
        self.seeds = [seed for seed in SEEDS if self.has("test", f"llm-s{seed}")]
        values = {name: objective(p, self.validation.column) for name, p in self.said.items()}
        self.best = max(values, key=lambda name: values[name])
        self.pair, _ = best_pair(self.said, self.validation, BlendSettings())

    def has(self, fold: str, name: str) -> bool:
        found = (self.bench.out / fold / f"{name}.npz").exists()
        if not found:
            self.missing.append(f"{fold}/{name}")
        return found

    def read(self, name: str) -> np.ndarray:
        """A piece of the test fold, corrected as its source was on the validation fold."""
        source = name.partition("-s")[0].partition("_random")[0]
        found = self.bench.read("test", name)
        return self.corrections[source].apply(found, self.shifts) if source in self.corrections else found

    def blends(self) -> dict[str, np.ndarray]:
        """Test distributions of both blends; the LLM's for each of its seeds."""
        settings, ids = BlendSettings(), self.test.examples.catalogue["advertiser_id"].to_numpy()
        pasts = Pasts.of(self.test.contexts, ids)
        one, two = self.pair
        others = fit_blend(self.said[one], self.said[two], self.validation, settings).pool
        found = {f"{one}+{two}": others.combine(self.read(one), self.read(two), pasts)}
        if self.llm is None:
            return found
        partner = str(rank_partners(self.llm, self.said, self.validation, settings)["source"].iloc[0])
        pool = fit_blend(self.llm, self.said[partner], self.validation, settings).pool
        for seed in self.seeds:
            found[f"llm-s{seed}+{partner}"] = pool.combine(self.read(f"llm-s{seed}"), self.read(partner), pasts)
        return found


def unseen_ranks(study: Study, probabilities: np.ndarray) -> np.ndarray:
    """Rank of each target among the advertisers that the user has not converted with; inf for targets that he has."""
    ids = study.test.examples.catalogue["advertiser_id"].to_numpy()
    own = Pasts.of(study.test.contexts, ids).own
    ranks = ranks_in_matrix(np.where(own, -1.0, probabilities), study.test.column)
    return np.where(study.test.is_new, ranks, np.inf)


def unseen_rows(study: Study, matrices: Mapping[str, np.ndarray], blend: str) -> Iterator[Row]:
    """Recall of NEW targets among advertisers new to the user, and Q1 and Q2 by it."""
    resamples = Resamples(len(study.test.labels), 2000, np.random.default_rng(5))
    is_new = study.test.is_new.astype(float)
    hits = {name: unseen_ranks(study, p) for name, p in matrices.items()}
    for k in (10, 20):
        found = {name: (ranks <= k).astype(float) for name, ranks in hits.items()}
        for name, hit in found.items():
            value = resamples.interval(ratio_of_sums(hit, is_new))
            yield interval_row(f"{name}.unseen_recall@{k}", f"unseen_recall@{k}, {name}", value)
        for name in [n for n in found if n.startswith("llm-s")]:
            rival, row = (blend, "Q2") if "+" in name else (study.best, "Q1")
            value = resamples.interval(ratio_of_sums(found[name] - found[rival], is_new))
            what = f"unseen_recall@{k}: {name} minus {rival}"
            yield interval_row(f"{row}.unseen_recall@{k}.{name.split('+')[0]}", what, value, against=rival)


def interval_row(name: str, what: str, found: Interval, **more: str) -> Row:
    return {"id": name, "what": what, "value": found.value, "low": found.low, "high": found.high, **more}


def quality_rows(study: Study, ranks: Mapping[str, np.ndarray], blend: str) -> Iterator[Row]:
    """Every source's values; Q1 and Q2."""
    fold = study.test
    groups = groups_of(fold.contexts, fold.labels, fold.is_new, fold.examples.catalogue)
    llms = [f"llm-s{seed}" for seed in study.seeds]
    mixed = [name for name in ranks if name.startswith("llm-s") and "+" in name]
    pairs = [(name, study.best) for name in llms] + [(name, blend) for name in mixed]
    found = judge(ranks, groups, rng=np.random.default_rng(1), settings=SETTINGS, pairs=pairs)
    for difference in found.differences:
        row = "Q2" if "+" in difference.arm else "Q1"
        wanted = ("recall@20", "new_recall@10") if row == "Q2" else ("recall@10", "new_recall@10")
        if difference.metric in wanted:
            value = Interval(difference.value, difference.low, difference.high)
            what = f"{difference.metric}: {difference.arm} minus {difference.against}"
            name = f"{row}.{difference.metric}.{difference.arm.split('+')[0]}"
            yield interval_row(name, what, value, target="lower bound > 0", against=difference.against)
    for source, metrics in found.metrics.items():
        for metric in SHOWN:
            yield interval_row(f"{source}.{metric}", f"{metric}, {source}", metrics[metric])


def exclusive_rows(study: Study, ranks: Mapping[str, np.ndarray]) -> Iterator[Row]:
    """Q3."""
    resamples = Resamples(len(study.test.labels), 2000, np.random.default_rng(2))
    others, llms = study.sources, [n for n in ranks if n.startswith("llm-s") and "+" not in n]
    for name in llms:
        found = exclusive_hits(ranks, name, others, k=20, resamples=resamples)
        yield interval_row(f"Q3.{name}", f"share of {name}'s hits at 20 that no other source has", found)
    for source in SEEDED:
        if study.has("test", f"{source}-s1"):
            column = study.test.column
            second = {**ranks, "second": ranks_in_matrix(study.read(f"{source}-s1"), column)}
            found = exclusive_hits(second, "second", others, k=20, resamples=resamples)
            what = f"the same of a second seed of {source}"
            yield interval_row(f"Q3.{source}-s1", what, found)
            for name in llms:
                ratio = exclusive_ratio(second, name, "second", others, k=20, resamples=resamples)
                what = f"the share of {name} over that of a second seed of {source}"
                more = {"unit": "x", "target": ">= 2x", "against": f"{source}-s1"}
                yield interval_row(f"Q3.ratio.{name}.{source}", what, ratio, **more)


def left_out_rows(study: Study) -> Iterator[Row]:
    """Q4: recall@10 of users whose target was never trained on. `llm` knows how often it was converted with before,
    as it does in daily use; `llm_name_only` does not, as if it were new today; `past_count` knows nothing else."""
    if not study.has("test", "left_out-s0"):
        return
    catalogue, fold = study.test.examples.catalogue, study.test
    ids = np.array(study.bench.cost("test", "left_out-s0")["left_out"])
    rows, column = of_left_out(fold.labels, ids, catalogue)
    found = judge_left_out(
        {
            "llm": study.bench.read("test", "left_out-s0")[rows],
            "llm_name_only": np.load(study.bench.out / "test" / "left_out_named.npy"),
            "text_neighbour": text_neighbours(
                np.load(study.bench.out / "test" / "text.npy"), fold.contexts.take(rows), catalogue
            ),
            "past_count": past_counts(fold.examples.contexts, catalogue, len(rows)),
        },
        catalogue,
        column,
        rng=np.random.default_rng(3),
        settings=SETTINGS,
    )
    for name, by_metric in found.evaluation.metrics.items():
        what = f"recall@10 of advertisers never trained on, {name}, {len(rows)} users"
        yield interval_row(f"Q4.{name}", what, by_metric["recall@10"])
    ratio = found.times_vertical
    yield interval_row("Q4.ratio", "LLM over a random pick of the vertical", ratio, unit="x", target=">= 3x")
    gains = {gain.against: gain for gain in found.evaluation.differences}
    for row, against, more in (
        ("Q4.neighbour", "text_neighbour", {"target": ">= 0"}),
        ("Q4.count", "past_count", {}),
    ):
        gain = Interval(gains[against].value, gains[against].low, gains[against].high)
        yield interval_row(row, f"LLM minus {against}", gain, against=against, **more)


def calibration_rows(study: Study) -> Iterator[Row]:
    """Q5."""
    column, forecasts = study.test.column, {}
    for seed in study.seeds:
        name = f"llm-s{seed}"
        raw, mine = study.bench.read("test", name), study.read(name)
        forecasts[f"{name}, as trained"], forecasts[name] = (Forecasts.of_matrix(p, column) for p in (raw, mine))
        if study.llm is not None:
            for kind in ("temperature", "isotonic_top"):
                fitted = fit_calibrator(kind, study.llm, study.validation.column)
                forecasts[f"{name}, {kind}"] = Forecasts.of_matrix(fitted.apply(mine), column)
    forecasts["popularity"] = Forecasts.of_matrix(study.read("popularity"), column)
    targets = {
        "top1_ece": "<= .01",
        "top10_ece": None,
        "top1_slope": ".9 to 1.1",
        "top1_intercept": None,
        "target_log_loss": "below uncalibrated and popularity",
    }
    found = calibration(forecasts, rng=np.random.default_rng(4), settings=SETTINGS)
    for name, metrics in found.metrics.items():
        for metric, target in targets.items():
            more = {"target": target} if target and name != "popularity" else {}
            yield interval_row(f"Q5.{name}.{metric}", f"{metric}, {name}", metrics[metric], **more)


def cost_rows(study: Study) -> Iterator[Row]:
    """CPU seconds of fit, and of predicting for 1,000 users."""
    for name in [*study.sources, *(f"llm-s{seed}" for seed in study.seeds)]:
        cost = study.bench.cost("test", name)
        who = f"{name}, {cost['train_users']:,} training users"
        yield {"id": f"{name}.fit", "what": f"fit, {who}", "value": cost["fit_cpu_seconds"], "unit": "CPU s"}
        each = 1000 * cost["predict_cpu_seconds"] / cost["users"]
        yield {"id": f"{name}.predict", "what": f"predict for 1,000 users, {name}", "value": each, "unit": "CPU s"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("var/quality"))
    parser.add_argument("--to", type=Path, default=Path("docs/results"))
    given = parser.parse_args()
    study = Study(Bench(given.data, Path(), given.out))
    blends = study.blends()
    names = [*study.sources, *(f"llm-s{seed}" for seed in study.seeds)]
    names += [name for name in ("llm_random-s0",) if study.has("test", name)]
    matrices = {name: study.read(name) for name in names} | blends
    ranks = {name: ranks_in_matrix(p, study.test.column) for name, p in matrices.items()}
    trained = {f"{name}, as trained": study.bench.read("test", name) for name in names}
    ranks_as_trained = {name: ranks_in_matrix(p, study.test.column) for name, p in trained.items()}
    rows = [
        *quality_rows(study, ranks | ranks_as_trained, "+".join(study.pair)),
        *unseen_rows(study, matrices, "+".join(study.pair)),
        *exclusive_rows(study, ranks),
        *left_out_rows(study),
        *calibration_rows(study),
        *cost_rows(study),
    ]
    notes = f"{len(study.test.labels):,} test users. By validation the best single source is {study.best}."
    if study.missing:
        notes += f" Pieces not made yet: {', '.join(dict.fromkeys(study.missing))}."
    command = "python -m benchmarks.predictor_quality --data <amazon14>"
    write_results("predictor-quality", rows, command=command, notes=notes, to=given.to)


if __name__ == "__main__":
    main()
