"""Expected run time: the work that the splits mean, at the rates of measured runs.

A stage's seconds are taken to grow with one quantity of work (UNITS). Rates come from runs that were made: those of
this workspace, which know this machine, or else the reference runs in rates.yaml, each with its origin. The range
runs from the fastest to the slowest of them. Without a measured run of the same base model nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml  # type: ignore[import-untyped]

from ml.llm.settings import LLMSettings
from ml.sources.ingest import IngestReport
from ml.sources.inspection.splits import Splits

RATES = Path(__file__).parent / "rates.yaml"


@dataclass(frozen=True)
class Work:
    """How much there is to do, in the units that a stage's time grows with."""

    log_rows: float
    """Rows of raw logs."""
    events: float
    """Events in the contexts of the snapshot day."""
    targets: float
    """Conversions that predictors learn from."""
    train_tokens: float
    """Prompt tokens of LLM training."""
    past_tokens: float
    """Prompt tokens read for the priors of the ranker's training rows."""
    score_tokens: float
    """Prompt tokens read for the predictions of the day."""
    scored_users: float
    """Users predicted for."""
    ranker_rows: float
    """Rows the ranker is trained and calibrated on."""
    test_users: float
    """Users the evaluation compares on."""
    run: float = 1.0
    """Once a run, whatever its size: start, checks between stages, report."""


UNITS = {
    "raw_logs": "log_rows",
    "user_contexts": "events",
    "training_examples": "targets",
    "retrieval_model": "events",
    "advertiser_llm": "train_tokens",
    "past_predictions": "past_tokens",
    "advertiser_predictions": "score_tokens",
    "control_predictions": "scored_users",
    "candidate_sets": "scored_users",
    "ranker": "ranker_rows",
    "evaluation": "test_users",
    "everything else": "run",
}
"""What each stage's time grows with."""


@dataclass(frozen=True)
class FasterRun:
    """A run elsewhere of which only the total is known, and the units of its stages."""

    origin: str
    seconds: float
    units: Mapping[str, float]


@dataclass(frozen=True)
class MeasuredRun:
    """Seconds and units of the stages of one run.

    Attributes:
        origin: where and on what it was measured.
        base_model: the LLM's.
        tokens_per_event: prompt tokens over events of its contexts.
        units, seconds: by stage.
        faster: a whole run on another machine, if there is one: lowers the range in proportion.
    """

    origin: str
    base_model: str
    tokens_per_event: float
    units: Mapping[str, float]
    seconds: Mapping[str, float]
    faster: FasterRun | None = None


@dataclass(frozen=True)
class Estimate:
    """Expected seconds of a first run, and by stage; None where no run like it was ever measured."""

    low: float | None
    high: float | None
    by_stage: Mapping[str, float]
    """At the slowest measured rate."""
    basis: str


def reference_runs() -> list[MeasuredRun]:
    """The runs of rates.yaml."""
    stored = yaml.safe_load(RATES.read_text(encoding="utf-8"))["runs"]
    return [
        MeasuredRun(
            run["origin"],
            run["base_model"],
            run["tokens_per_event"],
            {name: stage["units"] for name, stage in run["stages"].items()},
            {name: stage["seconds"] for name, stage in run["stages"].items()},
            FasterRun(**run["faster"]) if "faster" in run else None,
        )
        for run in stored
    ]


def work_of(
    report: IngestReport,
    splits: Splits,
    llm: LLMSettings,
    past_users: int,
    max_ranker_rows: int,
    tokens_per_event: float,
) -> Work:
    """The work of a first run on these logs."""
    training, test = splits.training, splits.test
    per_user = min(llm.max_prompt_tokens, tokens_per_event * test.events / max(test.active_users, 1))
    in_training = min(llm.max_prompt_tokens, tokens_per_event * training.events / max(training.users, 1))
    learners = training.users_with_target * (1 - llm.validation_share)
    ranker_users = max((split.users for split in splits.ranker), default=0)
    sampled = min(1.0, past_users / max(ranker_users, 1))
    return Work(
        log_rows=sum(table.rows_in for table in report.tables.values()),
        events=test.events,
        targets=training.targets,
        train_tokens=min(llm.train_tokens, learners * in_training * llm.epochs),
        past_tokens=min(past_users, ranker_users) * per_user,
        score_tokens=test.scored_users * per_user,
        scored_users=test.scored_users,
        ranker_rows=sum(min(split.rows * sampled, max_ranker_rows) for split in splits.ranker),
        test_users=test.expected or 0,
    )


def estimate(
    work: Callable[[float], Work], own: Sequence[MeasuredRun], reference: Sequence[MeasuredRun], base_model: str
) -> Estimate:
    """Seconds of a run.

    Args:
        work: the work (see `work_of`) at so many prompt tokens an event.
        own: runs of this workspace; if there are any with this base model, they alone count.
        reference: runs made elsewhere.
        base_model: of this run.
    """
    mine = [run for run in own if run.base_model == base_model]
    reference = [run for run in reference if run.base_model == base_model]
    runs = mine or reference
    if not runs:
        return Estimate(None, None, {}, f"no run with base model {base_model} has been measured here yet")
    slow = [_by_stage(run, work(run.tokens_per_event), reference, max) for run in runs]
    fast = [_by_stage(run, work(run.tokens_per_event), reference, min) for run in runs]
    low = min(sum(stages.values()) * _share(run) for run, stages in zip(runs, fast, strict=True))
    slowest = max(slow, key=lambda stages: sum(stages.values()))
    return Estimate(low, sum(slowest.values()), slowest, _basis(runs, own=bool(mine)))


def _by_stage(
    run: MeasuredRun, work: Work, lenders: Sequence[MeasuredRun], pick: Callable[[list[float]], float]
) -> dict[str, float]:
    """Seconds of each stage at a run's rates; what it does not tell (say, the start of a run) the lenders do."""
    found = {}
    for stage, unit in UNITS.items():
        rates = _rates([run], stage) or _rates(lenders, stage)
        if rates:
            found[stage] = pick(rates) * float(getattr(work, unit))
    return found


def _rates(runs: Sequence[MeasuredRun], stage: str) -> list[float]:
    """Seconds a unit of a stage in the runs that measured it."""
    return [run.seconds[stage] / run.units[stage] for run in runs if run.units.get(stage)]


def _share(run: MeasuredRun) -> float:
    """What part of a run's time the faster machine would take for the same work; 1 if none is known."""
    if run.faster is None:
        return 1.0
    here = sum(run.seconds[stage] / run.units[stage] * units for stage, units in run.faster.units.items())
    return run.faster.seconds / here


def _basis(runs: Sequence[MeasuredRun], *, own: bool) -> str:
    if own:
        return "the rates of earlier runs in this workspace: " + ", ".join(run.origin for run in runs)
    said = "; ".join(run.origin for run in runs)
    faster = {run.faster.origin for run in runs if run.faster}
    if faster:
        said += f"; the low end as fast as {', '.join(sorted(faster))}"
    return f"measured runs: {said}"
