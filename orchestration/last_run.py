"""What was run last: commands that look at a run open that one unless the user names another."""

from __future__ import annotations

import json
import os
import shlex

from ml.artifacts import write_json
from orchestration.settings import Settings, load_settings


def remember(settings: Settings) -> None:
    """Leave a note of what is run under `out`."""
    named = {name: getattr(settings, name) for name in ("profile", "source")}
    named |= {"data": settings.data_place} if settings.data else {}
    named |= {"mapping": str(settings.mapping.absolute())} if settings.mapping else {}
    named |= {"lake": settings.lake} if settings.lake else {}
    write_json(settings.out.absolute() / "last-run.json", named)


def there(settings: Settings, option: str = " OUT={}") -> str:
    """What a next command needs to find what was written with these settings: nothing, if that is the usual place.

    Args:
        option: how it says the place; of make by default.
    """
    usual = Settings.model_fields["out"].default
    return "" if settings.out.absolute() == usual.absolute() else option.format(shlex.quote(str(settings.out)))


def settings_of_last_run() -> Settings:
    """Settings of the state to look at: what the user named, else what the last run used."""
    _take_over()
    load_settings.cache_clear()
    return load_settings()


def _take_over() -> None:
    last = load_settings().out / "last-run.json"
    if not last.exists():
        return
    named = json.loads(last.read_text())
    # Another source than the last run's has other logs.
    same_source = os.environ.get("ADPRIOR_SOURCE", named["source"]) == named["source"]
    for name, value in named.items():
        if same_source or name in ("profile", "lake"):
            os.environ.setdefault(f"ADPRIOR_{name.upper()}", value)
