"""Settings: one typed object for the whole platform.

A value comes from the first of these that names it: command line, environment (`ADPRIOR_LLM__EPOCHS=2`),
`adprior.yaml`, the preset of the source, the preset of the profile, the default beside the field.
"""

from __future__ import annotations

import os
from datetime import date
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from ml.candidates.settings import CandidateSettings
from ml.contexts.settings import ContextSettings
from ml.errors import BadInput
from ml.evaluation.bootstrap import EvaluationSettings
from ml.llm.settings import LLMSettings
from ml.monitoring.settings import DriftSettings
from ml.places import is_remote
from ml.predictors.blend import BlendSettings
from ml.predictors.registry import BaselineSettings
from ml.predictors.tune_all import TuningSettings
from ml.ranking.settings import RankerSettings
from ml.sources.log_mapping import load_log_mapping
from ml.sources.mapping import AMAZON14, SAMPLE, load_mapping
from ml.timeline import TimelineSettings
from ml.world.settings import WorldSettings
from orchestration.alerts import AlertSettings

CLOCK = r"^([01]\d|2[0-3]):[0-5]\d$"
PRESETS = Path(__file__).parent / "presets"


class CatalogueSettings(BaseModel):
    """Which advertisers can be predicted."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    min_users: int = Field(0, ge=0)
    """Users that must have converted with an advertiser before it enters the catalogue."""


class PredictionSettings(BaseModel):
    """Batch inference."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    top_k: int = Field(50, ge=1)
    """Advertisers kept per user."""
    shards: int = Field(16, ge=1)
    """Pieces of the batch; a killed run loses at most one."""
    min_conversions: int = Field(0, ge=0)
    """Known conversions a user needs to be scored."""
    max_users: int | None = Field(None, ge=1)
    """Score only a seeded sample of this many active users; null scores all."""
    incremental: bool = True
    """Read only the users whose context has changed since an earlier day scored by the same model; the others keep
    what the model had read. False reads every user every day."""
    past_users: int = Field(2000, ge=1)
    """Users (a seeded sample) scored at past snapshots to give the ranker's training rows their priors."""
    min_labels: int = Field(200, ge=1)
    """Of these users, those who must have converted in the label window of the first snapshot for the LLM to be
    corrected for what everybody has converted with lately: with fewer, chance would choose by how much."""


class CheckSettings(BaseModel):
    """Thresholds of the data checks."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    max_quarantined_share: float = Field(0.02, ge=0, le=1)
    """Share of a table's rows on a day that may break the contract before the day is stopped."""
    min_volume_ratio: float = Field(0.3, ge=0)
    """Rows of a day over the median of the 14 days before it: below this the day is stopped."""
    max_volume_ratio: float = Field(4.0, gt=0)
    """The same, above."""
    min_context_coverage: float = Field(0.95, ge=0, le=1)
    """Share of eligible users that must have a context."""
    min_advertisers_with_targets: int = Field(5, ge=1)
    """Advertisers that must have a training target."""
    max_top10_share: float = Field(0.8, gt=0, le=1)
    """Share of candidate slots that the ten largest advertisers may hold before a warning."""
    max_gini: float = Field(0.95, gt=0, le=1)
    """Gini coefficient of candidate slots over eligible advertisers (0: even, 1: one has all) before a warning."""


class ScheduleSettings(BaseModel):
    """When the schedules tick, all in UTC; they are switched on and off in the Dagster UI."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    daily_at: str = Field("00:30", pattern=CLOCK)
    """Time of day (HH:MM) at which yesterday is materialized: when its logs have been delivered."""
    catch_up_days: int = Field(7, ge=0)
    """Days before yesterday that are materialized as well if they are not in the lake, such as late deliveries."""
    evaluate_at: str = Field("06:00", pattern=CLOCK)
    """Time of day at which the newest day whose outcomes are known is evaluated."""
    retrain_on: Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"] = "monday"
    """Weekday of the retraining."""
    retrain_at: str = Field("03:00", pattern=CLOCK)
    """Time of day of the retraining."""

    def cron(self, at: str, weekday: str = "*") -> str:
        """Cron line for a time of day, every day or on one weekday."""
        hour, minute = at.split(":")
        return f"{int(minute)} {int(hour)} * * {weekday[:3]}"


class InterfaceSettings(BaseModel):
    """Where the two web pages are served; links between Dagster and MLflow use these."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    host: str = "127.0.0.1"
    """Address both bind to."""
    dagster_port: int = Field(3000, ge=1, le=65535)
    """Port of the Dagster UI."""
    mlflow_port: int = Field(5000, ge=1, le=65535)
    """Port of the MLflow UI."""

    @property
    def dagster_url(self) -> str:
        return f"http://{self.host}:{self.dagster_port}"

    @property
    def mlflow_url(self) -> str:
        return f"http://{self.host}:{self.mlflow_port}"


def _logs_place(given: Any) -> str:
    text = str(given)
    if "://" in text and not is_remote(text):
        raise ValueError("logs are read from a directory or an s3:// prefix")
    return text


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        env_prefix="ADPRIOR_", env_nested_delimiter="__", extra="forbid", use_attribute_docstrings=True
    )

    profile: Literal["tiny", "small", "full"] = "small"
    """Size of everything: tiny (seconds, random LLM), small (minutes, 2 cores), full (a GPU)."""
    source: Literal["world", "purchases", "parquet"] = "world"
    """Where raw logs come from: the simulated ad world, a log of purchases, or your own logs of ads."""
    data: Annotated[str, BeforeValidator(_logs_place)] | None = None
    """Directory of the logs, with source parquet also an s3:// prefix; null takes the sample purchase log."""
    mapping: Path | None = None
    """Mapping file of the logs; null takes the one for the amazon14 layout (purchases), or the contract's layout."""
    out: Path = Path("var")
    """Directory for everything that is written."""
    lake: str | None = None
    """An s3:// prefix for the lake and everything published, under <lake>/<source>-<profile>; null keeps them under
    `out`. Keys, region and endpoint come from the standard AWS places (AWS_* variables, ~/.aws, a role) alone."""
    seed: int = Field(7, ge=0)
    """The one seed."""
    as_of: date | None = None
    """Snapshot day; null takes the newest day whose outcomes are all known."""
    timeline: TimelineSettings = TimelineSettings()
    world: WorldSettings = WorldSettings()
    catalogue: CatalogueSettings = CatalogueSettings()
    contexts: ContextSettings = ContextSettings()
    llm: LLMSettings = LLMSettings()
    predictions: PredictionSettings = PredictionSettings()
    baselines: BaselineSettings = BaselineSettings()
    tuning: TuningSettings = TuningSettings()
    blends: BlendSettings = BlendSettings()
    candidates: CandidateSettings = CandidateSettings()
    ranker: RankerSettings = RankerSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    checks: CheckSettings = CheckSettings()
    schedules: ScheduleSettings = ScheduleSettings()
    drift: DriftSettings = DriftSettings()
    alerts: AlertSettings = AlertSettings()
    ui: InterfaceSettings = InterfaceSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        stated = {**_adprior_yaml(), **env_settings(), **init_settings()}
        profile, source = str(stated.get("profile", "small")), str(stated.get("source", "world"))
        files = preset_sources(settings_cls, profile, source)
        return init_settings, env_settings, _Given(settings_cls, _adprior_yaml()), *files

    @model_validator(mode="after")
    def _logs_are_meant(self) -> Self:
        given = [name for name in ("data", "mapping") if getattr(self, name) is not None]
        if self.source == "world" and given:
            said = f"{' and '.join(given)} given, but source is world"
            raise ValueError(f"{said}: add SOURCE=parquet (your own logs) or SOURCE=purchases (a log of purchases)")
        if self.data and is_remote(self.data) and "@" in self.data.split("/")[2]:
            raise ValueError("data holds more than s3://bucket/prefix: keys belong into AWS_* variables or ~/.aws")
        if self.source == "purchases" and self.data and is_remote(self.data):
            raise ValueError(
                f"data is {self.data}, but a purchase log is read from a directory: copy it, or map it "
                "as your own logs (SOURCE=parquet)"
            )
        return self

    @model_validator(mode="after")
    def _lake_is_a_prefix(self) -> Self:
        """Not a validator of the field: its message would repeat a key that was put into the address."""
        if self.lake is not None:
            address = urlsplit(self.lake)
            if "@" in self.lake or ":" in address.netloc or address.query or address.fragment:
                raise ValueError("lake holds more than s3://bucket/prefix: keys belong into AWS_* variables or ~/.aws")
            if address.scheme != "s3" or not address.netloc:
                raise ValueError("lake is not an s3://bucket/prefix; leave it out to keep everything under `out`")
            object.__setattr__(self, "lake", self.lake.rstrip("/"))
        return self

    @property
    def workspace(self) -> Path:
        """Local directory of this source and profile: Dagster's storage, and without `lake` all that is published."""
        return self.out.absolute() / f"{self.source}-{self.profile}"

    @property
    def mapping_file(self) -> Path | None:
        """The mapping file; None if the logs have the contract's layout."""
        return self.mapping or (AMAZON14 if self.source == "purchases" else None)

    @property
    def data_place(self) -> str:
        """Absolute directory, or s3:// prefix, of the logs.

        Raises:
            BadInput: own logs, and nobody said where they are.
        """
        if self.source == "parquet" and self.data is None:
            raise BadInput(
                "source is parquet, but data is missing",
                where="data",
                remedy="add DATA=<directory or s3:// prefix of the logs>",
            )
        given = str(self.data or SAMPLE)
        return given if is_remote(given) else str(Path(given).absolute())

    @property
    def first_day(self) -> date:
        """First daily partition."""
        if self.source == "world":
            return self.world.first_day
        return _logs(self.source, self.data_place, self.mapping_file)[0]

    @property
    def sparse(self) -> bool:
        """Are days without rows, and days with few, legitimate in this source?"""
        return self.source != "world" and _logs(self.source, self.data_place, self.mapping_file)[1]


@cache
def _logs(source: str, data: str, mapping: Path | None) -> tuple[date, bool]:
    """First day of the user's logs, and whether days without rows are legitimate in them."""
    if mapping is None:
        from ml.sources.contract_logs import ContractLogs

        return ContractLogs(data, source).window().first, False
    read = load_mapping(mapping) if source == "purchases" else load_log_mapping(mapping)
    return read.first_day, read.sparse


class _Given(PydanticBaseSettingsSource):
    """A settings source that is simply a dictionary."""

    def __init__(self, settings_cls: type[BaseSettings], values: dict[str, Any]) -> None:
        super().__init__(settings_cls)
        self.values = values

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return self.values.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self.values


def preset_sources(
    settings_cls: type[BaseSettings], profile: str, source: str
) -> tuple[PydanticBaseSettingsSource, ...]:
    """The presets of a source and a profile, the stronger first."""
    return _Given(settings_cls, _preset(f"source-{source}")), _Given(settings_cls, _preset(profile))


def _preset(name: str) -> dict[str, Any]:
    path = PRESETS / f"{name}.yaml"
    return yaml.safe_load(path.read_text()) or {} if path.exists() else {}


def _adprior_yaml() -> dict[str, Any]:
    path = Path(os.environ.get("ADPRIOR_CONFIG", "adprior.yaml"))
    if not path.exists():
        return {}
    try:
        values = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise BadInput(f"not valid YAML: {error}", where=str(path), remedy="mend the line it names") from None
    return values or {}


@cache
def load_settings() -> Settings:
    """The settings of this process.

    Raises:
        BadInput: names each wrong field, its value and what is allowed.
    """
    try:
        return Settings()
    except ValidationError as error:
        lines = [_fault(e["loc"], e["input"], e["msg"], e["type"]) for e in error.errors()]
        raise BadInput(
            "settings are not valid:\n    " + "\n    ".join(lines),
            where="adprior.yaml, ADPRIOR_* environment variables or the command line",
            remedy="`adprior settings` lists every field with its meaning",
        ) from None


def _fault(place: tuple[int | str, ...], value: Any, message: str, kind: str) -> str:
    """One wrong field in words."""
    if not place:
        return message.removeprefix("Value error, ")
    said = "there is no such setting" if kind == "extra_forbidden" else message
    return f"{'.'.join(map(str, place))} = {value!r}: {said}"
