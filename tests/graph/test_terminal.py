"""What a command shows while it works, on a terminal and where there is none."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from orchestration import terminal
from orchestration.terminal import TerminalDisplay, display
from orchestration.waiting import waiting


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(terminal, "PATIENCE", 0.05)
    monkeypatch.setattr(terminal, "EVERY", 0.05)


def shown(*, is_terminal: bool) -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, force_terminal=is_terminal, width=100), text


def test_without_a_terminal_what_takes_long_gets_a_line_and_what_does_not_gets_none():
    console, text = shown(is_terminal=False)
    with TerminalDisplay(console):
        display().stage("quick")
        display().done("quick", 3, 0.01)
        display().stage("slow")
        time.sleep(0.15)
        display().progress(40, 100, "users")
        display().done("slow", 1234, 0.2)
        display().checking("slow")
        display().checking("slow")
        time.sleep(0.15)
    lines = [" ".join(line.split()) for line in text.getvalue().splitlines()]
    assert lines[1:2] == ["· slow ..."] and lines[2].startswith("· slow: 40 of 100 users after")
    assert "✓ quick 3 rows" in lines[0] and "✓ slow 1,234 rows" in lines[3]
    assert lines[4:] == ["· checks of slow ..."]


def test_nothing_is_said_after_the_end():
    console, text = shown(is_terminal=False)
    with TerminalDisplay(console):
        display().stage("stopped")
    time.sleep(0.15)
    assert text.getvalue() == ""


def test_a_terminal_shows_stage_count_and_checks():
    console, text = shown(is_terminal=True)
    with TerminalDisplay(console):
        display().stage("training")
        display().progress(40, 100, "tokens")
        time.sleep(0.25)
        display().checking("training")
        time.sleep(0.25)
        display().skipped("training")
    said = text.getvalue()
    assert "training" in said and "40/100" in said and "tokens" in said
    assert "checks of training" in said and "up to date" in said


def test_waiting_speaks_only_when_it_takes_long(capsys, monkeypatch):
    monkeypatch.setattr("orchestration.waiting.PATIENCE", 0.05)
    with waiting("asking"):
        pass
    time.sleep(0.1)
    assert capsys.readouterr() == ("", "")
    with waiting("asking"):
        time.sleep(0.15)
    assert capsys.readouterr() == ("", "asking ...\n")
