"""Generators that yield steps of long work and return a result."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any, TypeVar

_Step = TypeVar("_Step")
_NewStep = TypeVar("_NewStep")
_Result = TypeVar("_Result")


def drain(
    steps: Generator[_Step, None, _Result], on_step: Callable[[_Step], Any] = lambda step: None
) -> _Result:
    """Call ``on_step`` with each step and return the result of ``steps``."""
    changed = map_steps(steps, on_step)
    while True:
        try:
            next(changed)
        except StopIteration as end:
            result: _Result = end.value
            return result


def map_steps(
    steps: Generator[_Step, None, _Result], change: Callable[[_Step], _NewStep]
) -> Generator[_NewStep, None, _Result]:
    """Yield ``change`` of each step and return the result; closing this closes ``steps``."""
    with closing(steps):
        # A for loop loses what a generator returns, and yield from cannot change its steps.
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                result: _Result = end.value
                return result
            yield change(step)
