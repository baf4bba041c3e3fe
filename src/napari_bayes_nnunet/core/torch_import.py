"""Problem of a torch that cannot be imported, without importing it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_tb

from .problems import Problem

NO_TORCH = (
    "torch cannot be imported ({reason}). Install it with pip, and uninstall a damaged one first."
)


@contextmanager
def explaining_torch(kind: type[Problem] = Problem) -> Iterator[None]:
    """Raise a ``kind`` if what is done inside fails because torch is missing or damaged."""
    try:
        yield
    except (ImportError, OSError) as error:
        modules = (frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__))
        in_torch = any(module.partition(".")[0] == "torch" for module in modules)
        is_missing = isinstance(error, ImportError) and error.name == "torch"
        # A torch that is imported is whole, so the error has another cause.
        if "torch" in sys.modules or not (in_torch or is_missing):
            raise
        raise kind(NO_TORCH, reason=str(error).rstrip(".")) from error
