"""What differs: the settings of a run that are not those of its preset, and the name a run gets from them.

`llm.epochs=2 · world-small 2026-04-22` says every setting that matters to the asset and that somebody changed,
then source, profile and snapshot day: what differs comes first, since lists of runs cut long names. Only
settings that can change a result count (see `NODES`): ports, paths and addresses of alerts are neither named nor
logged.
"""

from __future__ import annotations

from datetime import date
from functools import cache
from typing import Any

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from orchestration.graph import NODES
from orchestration.settings import Settings, preset_sources

SHOWN = 4
"""Deviations that a run's name spells out."""


class _Preset(Settings):
    """The settings of a source and profile before anybody changed one."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        given = init_settings()
        return init_settings, *preset_sources(settings_cls, given["profile"], given["source"])


def run_name(settings: Settings, asset: str, day: date) -> str:
    """What somebody changed, then source, profile and day, such as `llm.epochs=2 · world-small 2026-04-22`."""
    changed = [f"{name}={_short(value)}" for name, value in deviations(settings, asset).items()]
    more = [f"{len(changed) - SHOWN} more"] if len(changed) > SHOWN else []
    what = ", ".join([*changed[:SHOWN], *more]) or "defaults"
    return f"{what} · {settings.source}-{settings.profile} {day}"


def deviations(settings: Settings, asset: str) -> dict[str, Any]:
    """Settings behind an asset's result that differ from the preset, as `section.field`."""
    preset = parameters(_preset(settings.profile, settings.source), asset)
    found = {name: value for name, value in parameters(settings, asset).items() if value != preset.get(name)}
    logs = {name: _short(str(place)) for name in ("data", "mapping") if (place := getattr(settings, name))}
    return {**logs, **found}


def parameters(settings: Settings, asset: str) -> dict[str, Any]:
    """Every setting that can change an asset's result, its upstream assets' included, as `section.field`."""
    everything = settings.model_dump(mode="json")
    found: dict[str, Any] = {}
    for name in sorted(settings_behind(asset) | ({"world", "seed"} if settings.source == "world" else set())):
        value: Any = everything
        for part in name.split("."):
            value = value[part]
        found |= _flat(value, name)
    return found


@cache
def settings_behind(asset: str) -> frozenset[str]:
    """Sections (or `section.field`s) of settings that matter to an asset or to one it is made of."""
    node = NODES[asset]
    above = (settings_behind(up) for up in node.upstream if up in NODES)
    return frozenset(node.settings).union(*above)


@cache
def _preset(profile: str, source: str) -> Settings:
    return _Preset(profile=profile, source=source)  # type: ignore[arg-type]


def _flat(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {name: value}
    return {key: leaf for part, inner in value.items() for key, leaf in _flat(inner, f"{name}.{part}").items()}


def _short(value: Any) -> str:
    """A value in a few characters: of a path or a model's id the last part, of a list its values."""
    if isinstance(value, list):
        return "+".join(_short(part) for part in value)
    return str(value).rstrip("/").rpartition("/")[2][:40]
