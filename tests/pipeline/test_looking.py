"""`adprior report`, `models` and `runs`: what one wants to know of the last run without opening a page."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from orchestration.graph import NODES
from tests.pipeline.conftest import DAY, Adprior, Pipeline


def test_report_prints_what_the_run_printed(adprior: Adprior, tiny_run: Pipeline):
    done = adprior("report", width=200)
    assert done.exit_code == 0, done.stderr
    printed = tiny_run.stdout  # type: ignore[attr-defined]
    table = printed[printed.index("Results as of") : printed.index("Next:")].strip()
    assert done.stdout.strip() == table


def test_report_as_json_is_the_published_file(adprior: Adprior, tiny_run: Pipeline):
    assert json.loads(adprior("report", "--json", "--as-of", DAY).stdout) == tiny_run.report()


def test_reports_are_listed(adprior: Adprior, tiny_run: Pipeline):
    (found,) = json.loads(adprior("report", "--list", "--json").stdout)
    assert (found["as_of"], found["test_users"]) == (DAY, tiny_run.report()["counts"]["test_users"])
    assert found["page"] == str(tiny_run.table("report") / "report.html")
    assert DAY in adprior("report", "--list").stdout


def test_open_opens_the_page(adprior: Adprior, tiny_run: Pipeline, monkeypatch):
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    assert adprior("report", "--open").exit_code == 0
    assert opened == [(tiny_run.table("report") / "report.html").as_uri()]
    monkeypatch.setattr("webbrowser.open", lambda address: False)
    done = adprior("report", "--open")
    assert done.exit_code == 1 and "no browser" in done.stderr and "report.html" in done.stderr


def test_a_day_without_report_says_which_there_are(adprior: Adprior):
    done = adprior("report", "--as-of", "2026-04-20")
    assert done.exit_code == 1 and f"no report of 2026-04-20 yet; there is {DAY}" in done.stderr


def test_models_tell_versions_aliases_and_use(adprior: Adprior, tiny_run: Pipeline):
    found = {row["model"]: row for row in json.loads(adprior("models", "--json").stdout)}
    assert set(found) == {"advertiser_llm", "retrieval_model", "ranker"}
    for name, row in found.items():
        assert f"{row['trained_for']}-{row['recipe']}" == tiny_run.models(name)[0].name
        assert row["used_by_newest_day"] and "challenger" in row["aliases"]
        assert row["metrics"] and row["dagster_run"] in tiny_run.run_ids().values()
    assert "champion" in found["ranker"]["aliases"]
    for width in (80, 120):
        shown = adprior("models", width=width).stdout
        assert "champion" in shown and found["ranker"]["mlflow_run"][:8] in shown
        assert max(map(len, shown.splitlines())) <= width and "…" not in shown


def test_runs_tell_job_day_status_and_duration(adprior: Adprior, tiny_run: Pipeline):
    snapshot, ingest = json.loads(adprior("runs", "--json").stdout)[-2:]
    assert (ingest["job"], ingest["status"]) == ("ingest_raw_logs", "SUCCESS")
    assert ingest["partition"] == "2026-03-01 to 2026-05-06"
    assert (snapshot["job"], snapshot["partition"]) == ("snapshot_day", DAY)
    assert snapshot["run"] in tiny_run.run_ids().values() and set(snapshot["assets"]) == set(NODES)
    assert 0 < snapshot["seconds"] < 600 and datetime.fromisoformat(snapshot["began"])
    assert snapshot["reason"] is None
    shown = adprior("runs", width=80).stdout
    assert snapshot["run"][:8] in shown and "success" in shown and "…" not in shown


def test_nothing_to_look_at_says_what_to_do(tmp_path, adprior: Adprior):
    empty = Adprior(Pipeline(tmp_path))
    for command in ("report", "explain --sample"):
        done = empty(*command.split())
        assert done.exit_code == 1 and "adprior run" in done.stderr
    for command in ("models", "runs"):
        done = empty(command)
        assert done.exit_code == 0 and "adprior run" in done.stdout
        assert json.loads(empty(command, "--json").stdout) == []
    assert not list(tmp_path.iterdir()), "looking made something"


@pytest.mark.parametrize("arguments", [["runs", "--limit", "0"], ["report", "--as-of", "soon"]])
def test_wrong_options_are_refused(adprior: Adprior, arguments):
    assert adprior(*arguments).exit_code in (1, 2)
