"""Reads a mapping file into its model; what is wrong with it becomes one error that names every wrong field.

Works for any pydantic model whose fields are documented: the documentation is the remedy.
"""

from __future__ import annotations

import re
import typing
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml  # type: ignore[import-untyped]
from pydantic import BaseModel, ValidationError

from ml.errors import BadInput

Model = TypeVar("Model", bound=BaseModel)
TODO = "TODO"
"""Value of a field that a draft leaves to a person."""
_NEXT = ";\n          "
"""Between problems: one a line, under each other."""


class _Words(yaml.SafeLoader):  # type: ignore[misc]
    """YAML in which only true and false are flags: yes, no, on and off are words that stand in people's files."""


_BOOL = "tag:yaml.org,2002:bool"
_Words.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in resolvers if tag != _BOOL]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Words.add_implicit_resolver(_BOOL, re.compile("^(true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def load_model(path: Path, model: type[Model], guide: str) -> Model:
    """Read a mapping file.

    Raises:
        BadInput: no such file, no YAML, or a field that is missing, unknown or has a value it may not have; it names
            the file, every such field with its value, and what belongs there.
    """
    if not path.is_file():
        raise BadInput("no such mapping file", where=str(path), remedy=f"write one ({guide}) or correct the path")
    try:
        given = yaml.load(path.read_text(encoding="utf-8"), Loader=_Words)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problem = " ".join(str(error).replace(' in "<unicode string>",', " at").split())
        tab = "indent with spaces, never with tabs" if r"'\t'" in problem else "correct it"
        raise BadInput(f"not YAML: {problem}", where=str(path), remedy=f"{tab}; an example is in {guide}") from error
    if not isinstance(given, dict):
        raise BadInput("not a mapping of fields to values", where=str(path), remedy=f"see the example in {guide}")
    if left := [".".join(place) for place in undone(given)]:
        raise BadInput(
            f"still {TODO}: {', '.join(left)}",
            where=str(path),
            remedy=f"complete them; the comment beside each says what belongs there (all fields: {guide})",
        )
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problems = [_problem(dict(one), model) for one in error.errors()]
        raise BadInput(
            _NEXT.join(what for what, _ in problems),
            where=str(path),
            remedy=_NEXT.join(dict.fromkeys(remedy for _, remedy in problems)) + f" (all fields: {guide})",
        ) from error


def undone(given: Any, place: tuple[str, ...] = ()) -> typing.Iterator[tuple[str, ...]]:
    """Places of a draft that nobody has completed."""
    if given == TODO:
        yield place
    elif isinstance(given, dict):
        for key, value in given.items():
            yield from undone(value, (*place, str(key)))
    elif isinstance(given, list):
        for value in given:
            yield from undone(value, place)


def _problem(error: dict[str, Any], top: type[BaseModel]) -> tuple[str, str]:
    """What is wrong with one field, and what belongs there."""
    # The first of a list goes without its number: mostly it is the only one and was not written as a list.
    where = [str(part) for part in error["loc"] if part != 0]
    field = ".".join(where) or "the file"
    model = _model_at(top, where[:-1])
    if error["type"] == "extra_forbidden":
        near = get_close_matches(where[-1], model.model_fields, n=1, cutoff=0.75)
        mend = f"write {near[0]} for {where[-1]}" if near else f"remove {field}"
        return f"unknown field {field!r}", f"{mend}; known fields here: {', '.join(model.model_fields)}"
    meaning = model.model_fields[where[-1]].description if where and where[-1] in model.model_fields else None
    remedy = f"{field}: {' '.join(meaning.split())}" if meaning else f"correct {field}"
    if error["type"] == "missing":
        return f"field {field!r} is missing", f"add {remedy if meaning else field}"
    message = error["msg"].removeprefix("Value error, ")
    if not where:
        return message, "correct the fields it names"
    value = "" if isinstance(error["input"], dict | list) else f" (value: {error['input']!r})"
    return f"{field}: {message}{value}", remedy


def _model_at(top: type[BaseModel], where: list[str]) -> type[BaseModel]:
    """The model that holds the fields under `where`; keys of dictionaries lead into their values."""
    model = top
    for name in where:
        if name in model.model_fields:
            model = next(_models_in(model.model_fields[name].annotation), model)
    return model


def _models_in(annotation: Any) -> typing.Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _models_in(inner)
