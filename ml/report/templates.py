"""The Jinja environment of our HTML pages: text is escaped, a name that is not there is an error, not a gap."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def templates(*folders: Path, functions: tuple[Callable[..., Any], ...]) -> Environment:
    """Templates of some folders, the first that has a name wins; `functions` go by their own names in them."""
    environment = Environment(
        loader=FileSystemLoader(folders),
        autoescape=lambda name: name is not None and not name.endswith(".css"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {function.__name__: function for function in functions}
    return environment
