"""Fingerprints: is what a stage published still what its inputs and settings would make?

A model's fingerprint (its *recipe*) leaves the day out, so that a later day reuses it; a daily
result's fingerprint names the day, its upstream results and the versions of the models it used.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from ml.artifacts import fingerprint_of, read_manifest
from ml.errors import BadInput
from ml.timeline import Timeline, Window
from orchestration.graph import NODES, RAW_TABLES
from orchestration.workspace import Workspace

if TYPE_CHECKING:
    from upath import UPath

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


def _by_one_look(
    question: Callable[Concatenate[Workspace, Given], Answer],
) -> Callable[Concatenate[Workspace, Given], Answer]:
    """These questions ask each other; together they look once at what is published."""

    @wraps(question)
    def asked(workspace: Workspace, *arguments: Given.args, **options: Given.kwargs) -> Answer:
        with workspace.one_look():
            return question(workspace, *arguments, **options)

    return asked


def recipe(workspace: Workspace, asset: str) -> str:
    """Fingerprint of how a model asset is made: code, settings, source, and the recipes it builds on."""
    node = NODES[asset]
    below = {up: recipe(workspace, up) for up in node.upstream if up in NODES and NODES[up].kind == "model"}
    return fingerprint_of([asset, node.code_version, _sections(workspace, node.settings), _origin(workspace), below])[
        :8
    ]


@_by_one_look
def model_version(workspace: Workspace, asset: str, day: date) -> str:
    """Version of a model asset that `day` uses: an existing one, or the one that would be trained.

    A version older than one of a model it builds on is out of date: a retraining that was stopped half-way is
    completed by the next run.
    """
    made_by = recipe(workspace, asset)
    existing = workspace.model(asset, day, made_by)
    below = [up for up in NODES[asset].upstream if up in NODES and NODES[up].kind == "model"]
    oldest = max((trained_on(model_version(workspace, up, day)) for up in below), default=date.min)
    if existing and trained_on(existing.name) >= oldest:
        return existing.name
    return new_version(workspace, asset, day)


def new_version(workspace: Workspace, asset: str, day: date) -> str:
    """Version that a training on `day` publishes."""
    return f"{day.isoformat()}-{recipe(workspace, asset)}"


def trained_on(version: str) -> date:
    """Snapshot day whose data a version was trained on."""
    return date.fromisoformat(version[:10])


@_by_one_look
def fingerprint(workspace: Workspace, asset: str, day: date) -> str:
    """Fingerprint of an asset's result for `day`.

    Of the raw logs only the days it reads count, or every delivery would make all earlier days old.
    """
    node = NODES[asset]
    if node.kind == "model":
        return model_version(workspace, asset, day)
    below = {up: fingerprint(workspace, up, day) for up in node.upstream if up in NODES}
    raw = {}
    if any(up in RAW_TABLES for up in node.upstream):
        last = workspace.timeline(day).test_closes if node.reads_outcomes else day
        raw = {filed: mark for filed, mark in ingested(workspace).items() if filed <= last.isoformat()}
    sections = _sections(workspace, node.settings)
    return fingerprint_of([asset, node.code_version, day, sections, _origin(workspace), raw, below])


@_by_one_look
def target(workspace: Workspace, asset: str, day: date) -> Path | UPath:
    """Directory that holds, or will hold, an asset's result for `day`; see `Workspace.local` for a local copy."""
    if NODES[asset].kind == "model":
        return workspace.target("models", asset, model_version(workspace, asset, day))
    return workspace.table(asset, day)


@_by_one_look
def published(workspace: Workspace, asset: str, day: date) -> dict[str, Any] | None:
    """Manifest of the asset's result for `day`, if it is there and up to date."""
    manifest = read_manifest(target(workspace, asset, day))
    return manifest if manifest and manifest["fingerprint"] == fingerprint(workspace, asset, day) else None


def ingested(workspace: Workspace) -> dict[str, str]:
    """Fingerprint of the raw logs in the lake, by day (see assets/raw_logs.py)."""
    days: dict[str, str] = workspace.ingested().get("days", {})
    return days


def require_logs(workspace: Workspace, asset: str, day: date) -> None:
    """The lake reaches from its first day to `day` without a gap, and far enough back for a model.

    Raises:
        BadInput: it does not; a result made from it would be wrong and look right.
    """
    if not any(up in RAW_TABLES for up in NODES[asset].upstream):
        return
    have = {date.fromisoformat(filed) for filed in ingested(workspace)}
    where, first = f"lake of {workspace.place}, for {asset} of {day}", min(have, default=day)
    if missing := [d for d in Window(first, day).days if d not in have]:
        raise BadInput(
            f"no raw logs of {len(missing)} days up to {day}; the first one is {missing[0]}",
            where=where,
            remedy=f"materialize the raw tables for {missing[0]}..{missing[-1]} (or `adprior backfill`)",
        )
    earliest = Timeline.earliest(first, workspace.settings.timeline).as_of
    if NODES[asset].kind == "model" and day < earliest:
        raise BadInput(
            f"a model of {day} needs older logs: they begin on {first}, its training labels end before that",
            where=where,
            remedy=f"take {earliest} or a later day, or materialize the raw tables of earlier days",
        )


def _sections(workspace: Workspace, names: tuple[str, ...]) -> dict[str, Any]:
    everything = workspace.settings.model_dump(mode="json")
    found: dict[str, Any] = {}
    if "candidates" in names:  # the files that it names belong to it
        found |= workspace.settings.candidates.eligibility.contents()
    for name in names:
        value: Any = everything
        for part in name.split("."):
            value = value[part]
        found[name] = value
    return found


def _origin(workspace: Workspace) -> list[Any]:
    """What identifies the source, as opposed to what it has delivered so far."""
    settings = workspace.settings
    if settings.source == "world":
        return ["world", settings.world.model_dump(mode="json"), settings.seed]
    mapping = settings.mapping_file
    return [settings.source, settings.data_place, mapping.read_text() if mapping else None]
