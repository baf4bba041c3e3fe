"""JSON that is read back: three sentences for what goes wrong, never the content of the file."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from napari_bayes_nnunet.core.problems import statement
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.files.access import UNREADABLE
from napari_bayes_nnunet.io.files.json_files import (
    DAMAGED_JSON,
    NEWER_JSON,
    Count,
    Ordinal,
    read_json,
)

from ...helpers.checks.problems import says_only

TOO_DEEP = "[" * 100_000


@dataclass(frozen=True, kw_only=True)
class Small:
    number: Count
    phase: Ordinal | None = None
    share: float = 0.5
    pair: tuple[int, str] = (1, "a")
    rest: dict[str, Any] = field(default_factory=dict)


def read(file: Path, text: str) -> Small:
    file.write_text(text, encoding="utf-8")
    return read_json(file, Small, newest=1, repair="Buy another.")


@pytest.fixture
def file(tmp_path):
    return tmp_path / "small.json"


def test_lists_become_tuples_and_unknown_keys_are_ignored(file):
    text = '{"format": 1, "number": 2, "pair": [3, "b"], "share": 1, "colour": "blue"}'
    assert read(file, text) == Small(number=2, pair=(3, "b"), share=1.0)


@pytest.mark.parametrize(
    "entry",
    [
        *('"number": "2"', '"number": 2.0', '"number": true', '"number": -1', '"number": null'),
        *('"phase": 0', '"share": NaN', '"share": 1e999', '"share": "1"', '"pair": [3]'),
        *('"rest": {"deep": [NaN]}', '"rest": {"deep": [-1e999]}', f'"rest": {TOO_DEEP}'),
    ],
)
def test_damaged_file_is_reported_with_advice(file, entry):
    with pytest.raises(DataError) as error:
        read(file, f'{{"format": 1, "number": 1, {entry}}}')
    assert error.value.statement == statement(DAMAGED_JSON, file=file, repair="Buy another.")
    assert error.value.__cause__ is None


def test_newer_file_is_told_from_a_damaged_one(file):
    with pytest.raises(DataError, check=says_only(NEWER_JSON, file=file)):
        read(file, '{"format": 2, "number": "of another type"}')


def test_unreadable_file_is_told_from_a_damaged_one(file):
    file.mkdir()
    with pytest.raises(DataError, check=says_only(UNREADABLE, file=file, reason="Is a directory")):
        read_json(file, Small, repair="")


def test_missing_file_is_left_to_the_caller(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none.json", Small, repair="")
