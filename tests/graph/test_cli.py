"""The command line: help that a newcomer understands, and wrong options answered in our own words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestration.cli import app
from orchestration.last_run import remember, settings_of_last_run, there
from orchestration.settings import Settings, load_settings

ROOT = Path(__file__).parents[2]
ORDER = [
    "run",
    "check",
    "explain",
    "report",
    "models",
    "runs",
    "world-card",
    "ui",
    "settings",
    "fetch-model",
    "init-mapping",
    "backfill",
]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """No settings from outside, and none left behind (commands put theirs into the environment)."""
    for name in [name for name in os.environ if name.startswith("ADPRIOR_")]:
        monkeypatch.delenv(name)
    before = dict(os.environ)
    monkeypatch.chdir(tmp_path)
    load_settings.cache_clear()
    yield
    os.environ.clear()
    os.environ.update(before)
    load_settings.cache_clear()


def commands() -> list[str]:
    return [str(command.name or command.callback.__name__) for command in app.registered_commands]  # type: ignore[union-attr]


def test_commands_stand_in_their_order():
    found = commands()
    assert found == [name for name in ORDER if name in found] and {"run", "ui", "settings"} <= set(found)


@pytest.mark.parametrize("name", commands())
def test_every_command_has_a_group_an_example_and_explained_options(name: str):
    said = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "100", "TERM": "dumb"})
    assert said.exit_code == 0
    assert f"Example: adprior {name}" in said.stdout
    assert next(c for c in app.registered_commands if name in (c.name, c.callback.__name__)).rich_help_panel  # type: ignore[union-attr]
    for option in app_options(name):
        explained = option.help if option.param_type_name == "option" else option.metavar in said.stdout.split("╭")[0]
        assert explained, f"{name} {option.name} is not explained"


def app_options(name: str) -> list:
    import typer

    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    return [option for option in command.params if option.name != "help"]


@pytest.mark.parametrize("day", ["yesterday", "2026-13-01", "2026-04-31", "22.4.2026"])
def test_a_malformed_day_gives_one_clear_message(day: str):
    said = CliRunner().invoke(app, ["run", "--as-of", day])
    assert said.exit_code == 1
    assert f"error: {day!r} is not a day" in said.stderr and "AS_OF" in said.stderr and "YYYY-MM-DD" in said.stderr
    assert "╭" not in said.output


def test_help_is_fast_and_loads_nothing_heavy():
    code = (
        "import sys; from orchestration.cli import app; "
        "print([n for n in ('dagster', 'mlflow', 'pandas', 'pydantic', 'duckdb') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_offers_commands_and_values(shell: str, tmp_path: Path):
    adprior = str(Path(sys.executable).parent / "adprior")
    environment = {
        **os.environ,
        "_ADPRIOR_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": "adprior run --profile t",
        "COMP_CWORD": "3",
        "_TYPER_COMPLETE_ARGS": "adprior run --profile t",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    done = subprocess.run([adprior], env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
    assert "tiny" in done.stdout and "small" not in done.stdout, done.stderr


def test_looking_opens_what_the_last_run_made(tmp_path: Path):
    (tmp_path / "var").mkdir()
    remember(Settings(profile="tiny", source="purchases", data=tmp_path, out=tmp_path / "var"))
    found = settings_of_last_run()
    assert (found.profile, found.source, found.data) == ("tiny", "purchases", str(tmp_path))


def test_naming_the_source_of_the_last_run_keeps_its_logs(tmp_path: Path):
    (tmp_path / "var").mkdir()
    remember(Settings(profile="tiny", source="purchases", data=str(tmp_path), out=tmp_path / "var"))
    os.environ["ADPRIOR_SOURCE"] = "purchases"
    assert settings_of_last_run().data == str(tmp_path)


def test_a_named_source_does_not_take_the_last_runs_logs(tmp_path: Path):
    (tmp_path / "var").mkdir()
    remember(Settings(profile="tiny", source="purchases", data=tmp_path, out=tmp_path / "var"))
    os.environ["ADPRIOR_SOURCE"] = "world"
    found = settings_of_last_run()
    assert (found.profile, found.source, found.data) == ("tiny", "world", None)


def test_what_to_type_next_finds_what_was_written_elsewhere(tmp_path: Path):
    assert there(Settings()) == there(Settings(out=tmp_path / "var")) == "", "the usual place, from here"
    assert there(Settings(out=tmp_path / "my runs")) == f" OUT='{tmp_path}/my runs'"
    assert there(Settings(out=Path("/x")), " --out {}") == " --out /x"


def test_a_run_that_stops_on_own_logs_points_to_the_check(tmp_path: Path):
    from orchestration.run_command import what_shows_more

    assert what_shows_more(Settings()) == "`make ui` shows the failed run"
    own = what_shows_more(Settings(source="parquet", data=str(tmp_path), out=Path("/x")))
    assert "`make ui OUT=/x`" in own and "`make check`" in own


def test_settings_are_documented_and_shown():
    assert CliRunner().invoke(app, ["settings"]).stdout.startswith("## Adprior's settings")
    assert json.loads(CliRunner().invoke(app, ["settings", "--values"]).stdout)["profile"] == "small"


DROPPED = """
import os, signal, time
from orchestration.cli.command import command

class Dying:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)

with command(resumes=True):
    Dying()
    time.sleep(20)
"""


def test_ctrl_c_that_python_drops_is_heard():
    """It lands in a destructor, where no exception can be raised."""
    done = subprocess.run([sys.executable, "-c", DROPPED], cwd=ROOT, capture_output=True, text=True, timeout=15)
    assert done.returncode == 130
    assert done.stderr.strip() == "stopped; type the same command again to go on where it was"
