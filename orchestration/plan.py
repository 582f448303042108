"""Fingerprints: is what a stage published still what its inputs and settings would make?

A model's fingerprint (its *recipe*) leaves the day out, so that a later day reuses it; a daily
result's fingerprint names the day, its upstream results and the versions of the models it used.
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

from ml.artifacts import fingerprint_of, read_manifest
from orchestration.graph import NODES, RAW_TABLES
from orchestration.workspace import Workspace


def recipe(workspace: Workspace, asset: str) -> str:
    """Fingerprint of how a model asset is made: code, settings, source, and the recipes it builds on."""
    node = NODES[asset]
    below = {up: recipe(workspace, up) for up in node.upstream if up in NODES and NODES[up].kind == "model"}
    return fingerprint_of([asset, node.code_version, _sections(workspace, node.settings), _origin(workspace), below])[
        :8
    ]


def model_version(workspace: Workspace, asset: str, day: date) -> str:
    """Version of a model asset that `day` uses: an existing one, or the one that would be trained."""
    made_by = recipe(workspace, asset)
    existing = workspace.model(asset, day, made_by)
    return existing.name if existing else f"{day.isoformat()}-{made_by}"


def fingerprint(workspace: Workspace, asset: str, day: date) -> str:
    """Fingerprint of an asset's result for `day`."""
    node = NODES[asset]
    if node.kind == "model":
        return model_version(workspace, asset, day)
    below = {up: fingerprint(workspace, up, day) for up in node.upstream if up in NODES}
    raw = ingested(workspace) if any(up in RAW_TABLES for up in node.upstream) else {}
    sections = _sections(workspace, node.settings)
    return fingerprint_of([asset, node.code_version, day, sections, _origin(workspace), raw, below])


def target(workspace: Workspace, asset: str, day: date) -> Path:
    """Directory that holds, or will hold, an asset's result for `day`."""
    if NODES[asset].kind == "model":
        return workspace.root / "models" / asset / model_version(workspace, asset, day)
    return workspace.table(asset, day)


def published(workspace: Workspace, asset: str, day: date) -> dict[str, Any] | None:
    """Manifest of the asset's result for `day`, if it is there and up to date."""
    manifest = read_manifest(target(workspace, asset, day))
    return manifest if manifest and manifest["fingerprint"] == fingerprint(workspace, asset, day) else None


def ingested(workspace: Workspace) -> dict[str, str]:
    """Fingerprint of the raw logs in the lake, by day (see assets/raw_logs.py)."""
    path = workspace.root / "lake" / "ingested.json"
    days: dict[str, str] = json.loads(path.read_text())["days"] if path.exists() else {}
    return days


def _sections(workspace: Workspace, names: tuple[str, ...]) -> dict[str, Any]:
    everything = workspace.settings.model_dump(mode="json")
    found = {}
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
    return [settings.source, settings.data_directory.absolute(), settings.mapping_file.read_text()]
