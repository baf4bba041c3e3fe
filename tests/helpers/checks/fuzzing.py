"""Changes of single entries of a JSON file, each of which must be accepted or refused."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from napari_bayes_nnunet.core.problems import Problem

Keys = tuple[Any, ...]
VALUES = [None, True, -1, 1e308, 10**12, "", "x", [], {}, [[1]], math.nan]
REMOVED = object()


def changes(content: Any) -> Iterator[tuple[Keys, Any, Any]]:
    """Yield place, new value and content for each change of one entry."""
    for place in _places(content):
        for value in (*VALUES, REMOVED):
            changed = copy.deepcopy(content)
            parent = changed
            for key in place[:-1]:
                parent = parent[key]
            if value is REMOVED:
                del parent[place[-1]]
            else:
                parent[place[-1]] = value
            yield place, value, changed


def _places(value: Any, place: Keys = ()) -> Iterator[Keys]:
    if place:
        yield place
    items = value.items() if isinstance(value, dict) else ()
    for key, item in items if not isinstance(value, list) else enumerate(value):
        yield from _places(item, (*place, key))


def unexpected(
    file: Path, read: Callable[[], object], *, every: int = 1
) -> tuple[list[str], int, int]:
    """Return the changes that fail otherwise than by a problem, and how many are read or not.

    Of the changes, each of ``every`` is tried.
    """
    whole = file.read_text()
    failed, accepted, refused = [], 0, 0
    for place, value, changed in islice(changes(json.loads(whole)), 0, None, every):
        file.write_text(json.dumps(changed))
        try:
            read()
            accepted += 1
        except Problem:
            refused += 1
        except Exception as error:  # which a user would see as a traceback
            failed.append(f"{place} = {value!r}: {error!r}")
    file.write_text(whole)
    return failed, accepted, refused
