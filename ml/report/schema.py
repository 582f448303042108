"""What a report is made of: the typed form of `results`, and of report.json (docs/report-json.md).

There is no place in it for anything about a single user. It does not know where the figures come from.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from ml.errors import BadInput
from ml.report.measures import measure


class Part(BaseModel):
    """Base of every part: unknown keys and NaN are errors (a figure that means nothing is null)."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, from_attributes=True, protected_namespaces=())


def _known(name: str) -> str:
    try:
        measure(name)
    except BadInput as error:
        raise ValueError(error.what) from None
    return name


def _window(value: Any) -> Any:
    if isinstance(value, str):
        first, _, last = value.partition("..")
        return {"first": first, "last": last}
    return value


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


MeasureName = Annotated[str, AfterValidator(_known)]
FirstLine = Annotated[str, AfterValidator(_first_line)]
"""Lines after the first may hold example rows, and with them users: they stay in Dagster."""
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class Interval(Part):
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low {self.low} above high {self.high}")
        return self


def _nothing(value: Any) -> Any:
    if isinstance(value, dict) and value and all(figure is None for figure in value.values()):
        return None
    return value


Figure = Annotated[Interval | None, BeforeValidator(_nothing)]
"""An interval, or null where the measure means nothing (three nulls are read as one)."""


class Difference(Part):
    """`arm` minus `against` on the same users; all four figures are null where the measure means nothing."""

    metric: MeasureName
    arm: str
    against: str
    value: float | None
    low: float | None
    high: float | None
    minimum_effect: Annotated[float, Field(ge=0)] | None
    p_holm: Share | None
    """Of no difference, corrected for the number of arms compared in this metric."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        figures = (self.value, self.low, self.high)
        if any(f is None for f in figures) and any(f is not None for f in figures):
            raise ValueError("value, low and high are all given or all null")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low {self.low} above high {self.high}")
        return self


class Machine(Part):
    cpu: str
    cores: Count
    memory_gb: float
    bf16_matrix_units: bool
    gpu: str | None


class Days(Part):
    """Whole days, both ends included; "first..last" and ml.timeline.Window are read too."""

    first: date
    last: date


Window = Annotated[Days, BeforeValidator(_window)]


class TimelineDays(Part):
    predictor_cutoff: date
    ranker: Window
    calibration: Window
    test: Window
    test_closes: date
    label_window_days: Count


class Stage(Part):
    rows: Count
    seconds: float


class LossPoint(Part):
    tokens: Count
    loss: float
    validation_loss: float | None


Validation = dict[str, float | None]


def _validation(value: Validation) -> Validation:
    return _require(value, ("loss_start", "loss_end", "recall@10", "popularity_recall@10"))


class Llm(Part):
    """The training run of the advertiser LLM."""

    base_model: str
    train_users: Count
    train_tokens: Count
    token_budget: Count
    train_targets: Count
    scored_users: Count
    scored_tokens: Count
    dtype: str
    threads: Count
    cpu_seconds: float
    temperature: float
    loss_curve: list[LossPoint]
    validation: Annotated[Validation, AfterValidator(_validation)]


class Concentration(Part):
    top10_share: Share
    gini: float


class RetrievalArm(Part):
    ad_recall: Figure
    advertiser_recall: Figure
    new_advertiser_recall: Figure


class Gain(Part):
    """A paired difference; null where the sample has no such target."""

    value: float | None
    low: float | None
    high: float | None
    minimum_effect: float | None


class QuotaPoint(Part):
    """Recall at equal budget under one quota; gain: its paired difference from quota 0 (none at 0 itself)."""

    quota: Share
    ad_recall: Figure
    advertiser_recall: Figure
    new_advertiser_recall: Figure
    gain: dict[MeasureName, Gain]
    top10_share: Share
    gini: float


class QuotaChoice(Part):
    """The quota in use, and the curves: validation, on which it was chosen, and test."""

    quota: Share
    fixed: bool
    chosen: Share | None
    metric: MeasureName
    users: Count
    curve: list[QuotaPoint]
    interest_quota: Share
    interest_fixed: bool
    interest_chosen: Share | None
    interest_curve: list[QuotaPoint]
    test_curve: list[QuotaPoint]


class RankerArm(Part):
    auc: Figure
    pr_auc: Figure
    log_loss: Figure
    normalized_entropy: Figure
    ece: Figure


class ReliabilityBin(Part):
    predicted: Share
    observed: Share
    rows: Count


class RankerRows(Part):
    train: Count
    calibration: Count
    test: Count
    positives_test: Count


class Feature(Part):
    """One feature of a ranker; nulls: not shuffled (little gain), or log loss means nothing here."""

    feature: str
    group: str
    gain: float
    gain_share: Share
    auc_drop: Figure
    log_loss_rise: Figure


class FeatureGroup(Part):
    group: str
    features: Count
    gain_share: Share
    auc_drop: Figure
    log_loss_rise: Figure


class ImportanceSample(Part):
    rows: Count
    users: Count
    repeats: Count


class CheckResult(Part):
    asset: str
    check: str
    passed: bool
    severity: str
    description: FirstLine


def _require(value: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    missing = [key for key in keys if key not in value]
    if missing:
        raise ValueError(f"lacks {', '.join(missing)}")
    return value


def _predictor(value: dict[str, Any]) -> dict[str, Any]:
    return _require(value, ("recall@10", "new_recall@10"))


def _counts(value: dict[str, Any]) -> dict[str, Any]:
    return _require(value, ("test_users", "new_share", "catalogue", "labels_outside_catalogue"))


def _exclusive(value: dict[str, Any]) -> dict[str, Any]:
    return _require(value, ("exclusive_hits@20",))


Predictor = Annotated[dict[MeasureName, Figure], AfterValidator(_predictor)]
Counts = Annotated[dict[str, int | float | None], AfterValidator(_counts)]


class PredictorCalibration(Part):
    top1_ece: Figure
    top10_ece: Figure
    top1_slope: Figure
    top1_intercept: Figure
    target_log_loss: Figure


class PredictorCost(Part):
    train_users: Count
    fit_cpu_seconds: float | None
    cpu_seconds_per_1000_users: float | None


class Results(Part):
    """All of one run."""

    profile: str
    source: str
    as_of: date
    seed: int
    git_commit: str
    created: str
    machine: Machine
    timeline: TimelineDays
    stages: dict[str, Stage]
    counts: Counts
    llm: Llm
    predictors: Annotated[dict[str, Predictor], Field(min_length=1)]
    predictor_differences: list[Difference]
    predictor_groups: dict[str, Count]
    predictor_exclusive: dict[str, Annotated[dict[MeasureName, Figure], AfterValidator(_exclusive)]]
    predictor_calibration: dict[str, PredictorCalibration]
    predictor_reliability: dict[str, list[ReliabilityBin]]
    predictor_costs: dict[str, PredictorCost]
    retrieval: dict[str, RetrievalArm]
    retrieval_budget: Count
    retrieval_quota: Share
    retrieval_quota_choice: QuotaChoice | None
    retrieval_differences: list[Difference]
    concentration: dict[str, Concentration]
    ranker: dict[str, RankerArm]
    ranker_differences: list[Difference]
    ranker_reliability: dict[str, list[ReliabilityBin]]
    ranker_click: dict[str, RankerArm]
    ranker_click_differences: list[Difference]
    ranker_click_reliability: dict[str, list[ReliabilityBin]]
    ranker_rows: RankerRows
    ranker_importance: dict[str, list[Feature]]
    ranker_importance_groups: dict[str, list[FeatureGroup]]
    ranker_importance_sample: ImportanceSample | None
    notes: list[str]
    checks: list[CheckResult]
    seconds_total: float
    peak_rss_mb: float


def parse(results: Results | dict[str, Any]) -> Results:
    """The typed form of `results`.

    Raises:
        BadInput: keys are missing, unknown or wrong; the message names each (the first five).
    """
    if isinstance(results, Results):
        return results
    try:
        return Results.model_validate(results)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        named = [f"`{'.'.join(str(p) for p in f['loc']) or 'results'}`: {f['msg']}" for f in faults[:5]]
        rest = f"; and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise BadInput(
            "; ".join(named) + rest,
            where="results given to the report",
            remedy="docs/report-json.md says what every key means",
        ) from error
