"""Arguments and files of results that benchmarks share."""

from __future__ import annotations

import csv
import json
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from napari_bayes_nnunet.core.problems import Problem


@contextmanager
def exiting_with_problems() -> Iterator[None]:
    """End the command with its problem, or the error of a file, as a sentence and exit code 1."""
    try:
        yield
    except Problem as problem:
        sys.exit(str(problem))
    except OSError as error:
        sys.exit(
            f"{error}. Check that the folders of the command exist, can be written, and have space."
        )


def command_parsers(
    doc: str, command: str, *paths: str
) -> tuple[ArgumentParser, ArgumentParser, ArgumentParser]:
    """Return a parser, and those of its commands: ``command`` with ``paths``, table RESULTS."""
    parser = ArgumentParser(description=doc.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    measuring, tables = commands.add_parser(command), commands.add_parser("table")
    for path in paths:
        measuring.add_argument(path, type=Path)
    tables.add_argument("results", type=Path)
    return parser, measuring, tables


def existing_folder(text: str) -> Path:
    """Return an argument as a path. Raises ArgumentTypeError if there is no such folder."""
    if not Path(text).is_dir():
        raise ArgumentTypeError(f"There is no folder {text}")
    return Path(text)


def new_folder(text: str) -> Path:
    """Return an argument as the path of a folder. Raises ArgumentTypeError if it is a file."""
    path = Path(text)
    first = next((parent for parent in (path, *path.absolute().parents) if parent.exists()), path)
    if not first.is_dir():
        raise ArgumentTypeError(f"{first} is a file, not a folder")
    return path


def existing_file(text: str) -> Path:
    """Return an argument as a path. Raises ArgumentTypeError if there is no such file."""
    if not Path(text).is_file():
        raise ArgumentTypeError(f"There is no file {text}")
    return Path(text)


def positive_number(text: str) -> int:
    """Return an argument as a number. Raises ArgumentTypeError unless it is 1 or more."""
    if not text.isdecimal() or not int(text):
        raise ArgumentTypeError(f"{text} is not a number of 1 or more")
    return int(text)


def append_row(results: Path, row: Mapping[str, Any]) -> None:
    """Append a JSON line to a file of results, and print its case."""
    with results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    print(row["case"], flush=True)


def write_csv(file: Path, lines: Sequence[Mapping[str, object]]) -> None:
    """Write lines with the same columns as a table; without lines the file is empty."""
    with file.open("w", encoding="utf-8", newline="") as stream:
        if lines:
            writer = csv.DictWriter(stream, lines[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(lines)


def read_rows(results: Path) -> list[dict[str, Any]]:
    """Return the JSON lines of a file of results; none if it is missing."""
    text = results.read_text(encoding="utf-8") if results.exists() else ""
    return [json.loads(line) for line in text.splitlines()]
