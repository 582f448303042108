"""Writes `adprior.yaml`: every field with its meaning, type and default, all commented out.

adprior settings > adprior.yaml
"""

from __future__ import annotations

import textwrap
from typing import Any

import yaml
from pydantic import BaseModel

from orchestration.settings import Settings

HEADER = """\
## Adprior's settings. Every field is optional and shown with its default (profile `small`, source `world`):
## remove the "# " before a field, and before the section above it, to change it. A value comes from the first of
## these that names it: command line, environment (ADPRIOR_LLM__EPOCHS=2), this file, the preset of the source
## (orchestration/presets/source-*.yaml), the preset of the profile (orchestration/presets/), the default here.
## Unknown fields and impossible values are refused with a message. `adprior settings --values` shows what is in force.

"""


def document() -> str:
    """The text of adprior.yaml."""
    return HEADER + "".join(_fields(Settings, ""))


def _fields(model: type[BaseModel], indent: str) -> list[str]:
    lines = []
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        about = " ".join((field.description or "").split())
        if isinstance(default, BaseModel):
            purpose = (type(default).__doc__ or "").strip().splitlines()[0]
            lines += ["\n", *_comment(purpose, indent), f"# {indent}{name}:\n", *_fields(type(default), indent + "  ")]
        else:
            allowed = _allowed(model, name)
            lines += _comment(f"{about}{f' ({allowed})' if allowed else ''}", indent)
            lines.append(f"# {indent}{name}: {_value(default)}\n")
    return lines


def _comment(text: str, indent: str) -> list[str]:
    return [f"## {indent}{line}\n" for line in textwrap.wrap(text, 112)]


def _value(default: Any) -> str:
    if isinstance(default, BaseModel):
        default = default.model_dump(mode="json")
    if isinstance(default, tuple):
        default = list(default)
    if default is None or isinstance(default, bool | int | float):
        return (
            {None: "null", True: "true", False: "false"}.get(default, repr(default))
            if not _number(default)
            else repr(default)
        )
    return (
        yaml.safe_dump(default if isinstance(default, str | list | dict) else str(default), default_flow_style=True)
        .strip()
        .removesuffix("\n...")
    )


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _allowed(model: type[BaseModel], name: str) -> str:
    """Bounds or choices of a field, out of its JSON schema."""
    schema = model.model_json_schema()["properties"][name]
    options = [schema, *schema.get("anyOf", [])]
    for option in options:
        if "enum" in option:
            return "one of " + ", ".join(map(str, option["enum"]))
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    return ", ".join(f"{text} {option[key]}" for option in options for key, text in words.items() if key in option)
