"""Settings: precedence, messages that mend, and a documentation file that is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ml.errors import BadInput
from orchestration.settings import Settings, load_settings
from orchestration.settings_document import document

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """No settings from outside, no adprior.yaml but the test's own; the cache is left as it was found."""
    import os

    for name in [name for name in os.environ if name.startswith("ADPRIOR_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    load_settings.cache_clear()
    yield
    load_settings.cache_clear()


def test_precedence_command_line_environment_file_preset_default(monkeypatch, tmp_path):
    assert load_settings().llm.base_model == "smollm2-135m", "default"
    load_settings.cache_clear()
    monkeypatch.setenv("ADPRIOR_PROFILE", "tiny")
    assert load_settings().llm.base_model == "tiny", "preset of the profile"
    load_settings.cache_clear()
    (tmp_path / "adprior.yaml").write_text("llm: {base_model: mine, epochs: 3}\n")
    assert load_settings().llm.base_model == "mine", "adprior.yaml"
    load_settings.cache_clear()
    monkeypatch.setenv("ADPRIOR_LLM__BASE_MODEL", "theirs")
    assert (load_settings().llm.base_model, load_settings().llm.epochs) == ("theirs", 3), "environment, the rest kept"
    assert Settings(llm={"base_model": "hers"}).llm.base_model == "hers", "given"


def test_source_preset_applies(monkeypatch):
    monkeypatch.setenv("ADPRIOR_SOURCE", "purchases")
    settings = load_settings()
    assert settings.timeline.label_window_days == 91 and settings.sparse
    assert settings.workspace.name == "purchases-small"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ADPRIOR_PROFILE", "huge", ["profile", "'huge'", "'tiny', 'small' or 'full'"]),
        ("ADPRIOR_LLM__EPOCHS", "0", ["llm.epochs", "'0'", "greater than or equal to 1"]),
        ("ADPRIOR_CANDIDATES__QUOTA", "2", ["candidates.quota", "less than or equal to 1"]),
    ],
)
def test_wrong_values_name_field_value_and_what_is_allowed(monkeypatch, name, value, words):
    monkeypatch.setenv(name, value)
    with pytest.raises(BadInput) as raised:
        load_settings()
    for word in words:
        assert word in str(raised.value)


def test_a_log_without_its_source_is_refused(monkeypatch):
    """Else the simulated world would run, and its figures be taken for the log's."""
    monkeypatch.setenv("ADPRIOR_DATA", "my-shop")
    with pytest.raises(BadInput, match=r"SOURCE=parquet .* SOURCE=purchases"):
        load_settings()


@pytest.mark.parametrize(
    ("source", "data", "words"),
    [
        ("purchases", "s3://bucket/shop", "read from a directory"),
        ("parquet", "gs://bucket/logs", r"data = 'gs://bucket/logs': .* s3:// prefix"),
    ],
)
def test_logs_that_cannot_be_read_are_refused_at_once(monkeypatch, source, data, words):
    monkeypatch.setenv("ADPRIOR_SOURCE", source)
    monkeypatch.setenv("ADPRIOR_DATA", data)
    with pytest.raises(BadInput, match=words):
        load_settings()


def test_a_key_in_the_address_of_logs_is_refused_and_not_repeated(monkeypatch):
    monkeypatch.setenv("ADPRIOR_SOURCE", "parquet")
    monkeypatch.setenv("ADPRIOR_DATA", "s3://AKIA123:sesame@bucket/logs")
    with pytest.raises(BadInput, match="keys belong into AWS_") as raised:
        load_settings()
    assert "sesame" not in str(raised.value)


def test_own_logs_are_named_by_place(monkeypatch, tmp_path):
    """A directory by its absolute path, a prefix on S3 as it is (a Path would make s3:/bucket of it)."""
    assert Settings(source="parquet", data="logs").data_place == str(tmp_path / "logs")
    assert Settings(source="parquet", data="s3://bucket/logs").data_place == "s3://bucket/logs"
    with pytest.raises(BadInput, match="add DATA="):
        print(Settings(source="parquet").first_day)


def test_first_day_comes_from_the_mapping_or_from_the_contract_layout(tmp_path):
    (tmp_path / "logs" / "users" / "date=2026-03-04").mkdir(parents=True)
    (tmp_path / "logs" / "users" / "date=2026-03-04" / "part-0.parquet").touch()
    assert str(Settings(source="parquet", data="logs").first_day) == "2026-03-04"
    (tmp_path / "mine.yaml").write_text(
        "{name: mine, consent: granted_by_source, first_day: 2026-03-05, sparse: true, ads: {files: a.csv, filed_by: "
        "static}, advertisers: {derive_from: ads}, users: {derive_from: conversions}, conversions: {files: c.csv}}"
    )
    stated = Settings(source="parquet", data="logs", mapping="mine.yaml")
    assert str(stated.first_day) == "2026-03-05" and stated.sparse


def test_all_wrong_values_are_named_at_once(tmp_path):
    (tmp_path / "adprior.yaml").write_text("seeed: 1\nllm: {epochs: 0}\n")
    with pytest.raises(BadInput) as raised:
        load_settings()
    assert "seeed" in str(raised.value) and "llm.epochs" in str(raised.value)


def test_broken_yaml_is_one_clear_error(tmp_path):
    (tmp_path / "adprior.yaml").write_text("llm: [")
    with pytest.raises(BadInput, match=r"adprior\.yaml"):
        load_settings()


def test_shipped_file_is_the_document():
    assert (ROOT / "adprior.yaml").read_text() == document(), "run: adprior settings > adprior.yaml"


def test_uncommented_document_is_the_defaults(tmp_path):
    """Every field is there, spelled as it is read, with the value it has anyway."""
    uncommented = "\n".join(re.sub(r"^# ", "", line) for line in document().splitlines())
    assert yaml.safe_load(uncommented)["llm"]["epochs"] == 1
    (tmp_path / "adprior.yaml").write_text(uncommented)
    assert load_settings() == Settings.model_validate(Settings().model_dump())


def test_every_field_is_documented():
    def undocumented(model, path=""):
        for name, field in model.model_fields.items():
            if not field.description and not hasattr(field.annotation, "model_fields"):
                yield f"{path}{name}"
            if hasattr(field.annotation, "model_fields"):
                yield from undocumented(field.annotation, f"{path}{name}.")

    assert list(undocumented(Settings)) == []


@pytest.mark.parametrize(
    ("lake", "said"),
    [
        ("s3://AKIAKEY:topsecret@bucket/ads", "keys belong into AWS_"),
        ("s3://AKIAKEY:top/topsecret@bucket/ads", "keys belong into AWS_"),
        ("s3://bucket/ads?secret=topsecret", "keys belong into AWS_"),
        ("/mnt/topsecret", "not an s3://bucket/prefix"),
        ("s3://", "not an s3://bucket/prefix"),
    ],
)
def test_a_lake_is_a_prefix_on_s3_without_keys(monkeypatch, lake, said):
    monkeypatch.setenv("ADPRIOR_LAKE", lake)
    with pytest.raises(BadInput, match=said) as raised:
        load_settings()
    assert "topsecret" not in str(raised.value)


def test_a_lake_may_end_with_a_slash():
    assert Settings(lake="s3://bucket/ads/").lake == Settings(lake="s3://bucket/ads").lake
