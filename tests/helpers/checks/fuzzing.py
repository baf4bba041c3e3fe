"""Changes of single entries of a JSON file, each of which must be accepted or refused."""

import copy
import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from napari_bayes_nnunet.core.problems import Problem

NAME = "DOE^JANE"
REMOVED = object()
WRONG: tuple[Any, ...] = (
    *(REMOVED, None, True, "", "x", NAME, -1, -0.5, 3.7, 10**12, 10**400, 1e308, "1e999"),
    *(math.nan, math.inf, [], {}, [[1]], [[[NAME]]], {NAME: {NAME: [NAME]}}),
)
"""What is put in the place of each entry of a file; ``1e999`` as a number."""


def changes(content: Any) -> st.SearchStrategy[str]:
    """Draw the text of ``content`` with one entry, however deep, that is missing or another."""
    places = list(_places(content))
    return st.builds(_change, st.just(content), st.sampled_from(places), st.sampled_from(WRONG))


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the keys of each entry. Of a long list the first item, of many cases two are enough."""
    if place:
        yield place
    if isinstance(value, dict):
        for key in list(value)[: 2 if len(value) > 40 else None]:
            yield from _places(value[key], (*place, key))
    elif isinstance(value, list) and value:
        yield from _places(value[0], (*place, 0))


def _change(content: Any, place: tuple[Any, ...], value: Any) -> str:
    changed = copy.deepcopy(content)
    parent = changed
    for key in place[:-1]:
        parent = parent[key]
    if value is REMOVED:
        del parent[place[-1]]
    else:
        parent[place[-1]] = value
    return re.sub('"1e999"', "1e999", json.dumps(changed))


def assert_read_or_refused(
    file: Path, read: Callable[[], object], *, examples: int = 300, quotes: bool = False
) -> None:
    """Assert that changes of ``file`` are read or refused by a problem that does not quote it.

    With ``quotes`` it may, as a reader has to know which entry is wrong.
    """
    refused: list[str] = []
    whole = file.read_text("utf-8")
    read()

    @settings(max_examples=examples)
    @given(changes(json.loads(whole)))
    def try_change(text: str) -> None:
        file.write_text(text, "utf-8")
        try:
            read()
        except Problem as problem:
            refused.append(str(problem))
            assert quotes or NAME not in refused[-1], refused[-1]

    try:
        try_change()
    finally:
        file.write_text(whole, "utf-8")
    assert refused
