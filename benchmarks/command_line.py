"""Command lines of benchmarks, made from the parameters of their functions."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from inspect import Parameter, signature
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin


def run(
    doc: str | None, *functions: Callable[..., object], words: Sequence[str] | None = None
) -> None:
    """Call the only function, or the one that the command line names, and print its result.

    Positional parameters are arguments, a list takes one or more. Keyword-only ones are options:
    flags if they are bool, choices if they are Literal. A number is the exit code.
    """
    parser = ArgumentParser(description=doc, formatter_class=RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True) if len(functions) > 1 else None
    for function in functions:
        command = commands.add_parser(function.__name__) if commands else parser
        command.set_defaults(function=function)
        for parameter in signature(function, eval_str=True).parameters.values():
            _add(command, parameter)
    given = vars(parser.parse_args(words))
    function = given.pop("function")
    result = function(**given)
    if isinstance(result, int):
        sys.exit(result)
    if result is not None:
        print(result)


def _add(parser: ArgumentParser, parameter: Parameter) -> None:
    kind, options, name = parameter.annotation, dict[str, Any](), parameter.name
    if get_origin(kind) in (Union, UnionType):
        kind = get_args(kind)[0]
    if parameter.kind is Parameter.KEYWORD_ONLY:
        name = f"--{name.replace('_', '-')}"
        options["default"] = parameter.default
    elif parameter.default is not Parameter.empty:
        options |= {"default": parameter.default, "nargs": "?"}
    if kind is bool:
        options["action"] = "store_true"
    elif get_origin(kind) is Literal:
        options["choices"] = get_args(kind)
    elif get_origin(kind) is list:
        options |= {"type": get_args(kind)[0], "nargs": "+"}
    else:
        options["type"] = kind
    parser.add_argument(name, **options)
