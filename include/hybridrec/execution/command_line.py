"""The command line of a job, from its Params."""

from __future__ import annotations

import argparse
import types
import typing
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from dataclasses import field as dataclass_field
from typing import Any, Literal, TypeVar

P = TypeVar("P")


def parse(params_type: type[P], argv: list[str], doc: str = "") -> P:
    """Return Params from a command line: one flag a field, nothing abbreviated, nothing else accepted."""
    parser = argument_parser(params_type, doc)
    return params_type(**vars(parser.parse_args(argv)))


def argument_parser(params_type: type[Any], doc: str = "") -> argparse.ArgumentParser:
    """Return the command line of a Params dataclass; a field without default is a required flag."""
    parser = argparse.ArgumentParser(description=doc, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter)
    hints = typing.get_type_hints(params_type)
    for field in fields(params_type):
        parser.add_argument(*_flags(field), dest=field.name, **_argument(hints[field.name], field))
    return parser


def renamed(former: str, value: Callable[[str], str]) -> Any:
    """Return a required text of Params whose flag had a former name, which is still taken. value: turns a former value into today's."""
    return dataclass_field(metadata={"former": former, "value": value})


def _flags(field: Field[Any]) -> list[str]:
    return [f"--{name.replace('_', '-')}" for name in (field.name, field.metadata.get("former", "")) if name]


def _argument(hint: Any, field: Field[Any]) -> dict[str, Any]:
    options: dict[str, Any] = {"required": True}
    if field.default is not MISSING:
        options = {"default": field.default}
    optional = [arg for arg in typing.get_args(hint) if arg is not type(None)]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return options | {"type": optional[0]}
    if typing.get_origin(hint) is Literal:
        return options | {"choices": typing.get_args(hint)}
    if typing.get_origin(hint) is tuple:
        return options | {"type": _names}
    if hint is bool:
        return options | {"action": argparse.BooleanOptionalAction}
    return options | {"type": field.metadata.get("value", hint)}


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
