"""Checks of the folder to write results or a report into."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from ...core.problems import Action
from ...io.dataset.raw_dataset import CASE_FOLDERS
from ...io.files.access import writing
from ...io.files.atomic import write_text
from ...io.files.given_path import is_same_path, resolve_links
from .. import AppError

OUTPUT_IS_INPUT: Final = "The output folder {folder} is also the folder of the {contents}."
FOREIGN_SETTINGS: Final = (
    "The current folder {folder} contains settings of matplotlib ({file}), which could run other "
    "programs. Start again in another folder."
)
_SETTINGS: Final = "matplotlibrc"
FOREIGN_FILE: Final = (
    "{file} exists in {folder}, but it is not from an earlier report, so it is not replaced."
)


def refuse_folder_of_inputs(output: Path, inputs: Mapping[str, Path | None]) -> None:
    """Raise AppError if ``output`` is a folder of ``inputs`` or of the cases of a dataset.

    ``inputs``: contents of a folder, such as "images" → folder, None if there is none.
    """
    contents = [c for c, folder in inputs.items() if folder and is_same_path(folder, output)]
    parent = resolve_links(output).parent
    is_of_cases = any(is_same_path(parent / name, output) for name in CASE_FOLDERS)
    if is_of_cases and (parent / "dataset.json").is_file():
        contents.append("cases of a dataset")
    if contents:
        raise AppError(OUTPUT_IS_INPUT, Action.OTHER_OUTPUT, folder=output, contents=contents[0])


def refuse_foreign_settings() -> None:
    """Raise AppError if matplotlib would read settings from the current folder.

    They can run TeX with any text and, with matplotlib before 3.11, any Python code.
    """
    if Path(_SETTINGS).exists():
        raise AppError(FOREIGN_SETTINGS, folder=Path.cwd(), file=_SETTINGS)


def refuse_foreign_files(folder: Path, tables: Mapping[str, str], others: Iterable[str]) -> None:
    """Raise AppError if a report would replace a file that is not from an earlier report.

    ``tables``: name of a file → the text that it begins with. ``others`` are the files written
    after all tables, so none of them exists without the tables.
    """
    missing = [name for name in tables if not (folder / name).exists()]
    foreign = [name for name in others if missing and (folder / name).exists()]
    foreign += [
        name for name in tables if name not in missing and not _begins(folder / name, tables[name])
    ]
    if foreign:
        raise AppError(FOREIGN_FILE, Action.OTHER_OUTPUT, file=foreign[0], folder=folder)


def check_report_files(
    folder: Path,
    tables: Mapping[str, str],
    others: Iterable[str],
    *,
    inputs: Mapping[str, Path | None] = MappingProxyType({}),
) -> None:
    """Raise AppError, before long work, if a report cannot be written or replaces other files.

    ``tables`` and ``others`` are those of `refuse_foreign_files`, ``inputs`` those of
    `refuse_folder_of_inputs`.
    """
    refuse_foreign_settings()
    check_writable(folder)
    refuse_folder_of_inputs(folder, inputs)
    refuse_foreign_files(folder, tables, others)


def _begins(file: Path, text: str) -> bool:
    try:
        with file.open(encoding="utf-8", errors="replace") as content:  # Windows ends lines by \r\n
            return content.read(len(text)) == text
    except OSError:  # a folder, or not readable
        return False


def report_files(report: Path, *endings: str) -> tuple[Path, ...]:
    """Return the files of a ``report``, one for each ending such as "_tools.csv".

    ``report`` may end in .csv or .png. Raises AppError for a path without a name, such as ".".
    """
    if report.name in ("", ".."):
        raise unwritable(report, IsADirectoryError("it is a folder"))
    stem = report.with_suffix("") if report.suffix in (".csv", ".png") else report
    return tuple(stem.with_name(f"{stem.name}{ending}") for ending in endings)


def write_or_refuse(file: Path, text: str) -> None:
    """Write a file of a report. Raises DataError if it cannot be written."""
    with writing(file, Action.OTHER_OUTPUT):
        write_text(file, text)


def check_writable(report: Path) -> None:
    """Raise AppError, before long work, if the folder cannot be created or written to."""
    try:
        existing = next(path for path in (report, *report.absolute().parents) if path.exists())
    except OSError as error:  # a name that is too long
        raise unwritable(report, error) from error
    if not existing.is_dir():
        raise unwritable(existing, NotADirectoryError("it is not a folder"))
    if not os.access(existing, os.W_OK):
        raise unwritable(existing, PermissionError("it is read-only"))


def unwritable(folder: Path, error: OSError) -> AppError:
    """Return the error for a folder that cannot be written to."""
    return AppError(
        "{folder} cannot be used for the report ({reason}).",
        Action.OTHER_OUTPUT,
        folder=folder,
        reason=error.strerror or error,
    )
