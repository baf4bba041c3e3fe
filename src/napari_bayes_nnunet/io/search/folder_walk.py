"""Folders of a tree that is searched for studies, with the files in each."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from ..files.given_path import file_identity, resolve_links
from ..files.special import may_be_file, refuse_special
from ..study.info import STUDY_FILE

COHORT: Final = "cohort.csv"
"""Table that marks a folder as results of a cohort, which are never inputs."""
_HEAD: Final = re.compile(rb"\W*study\W+outcome\W+predicted_quality\W")
"""Column names of the table, also as a spreadsheet saves them."""
RESULTS: Final = "Folders with results of this program"
UNOPENED: Final = "Folders that cannot be opened ({reason})"


@dataclass(frozen=True)
class Folder:
    """A folder with its files; ``title`` is its path in the tree, such as "a/b", or "" at the top.

    A single file that the user named counts as a folder of its own.
    """

    path: Path
    title: str
    files: tuple[Path, ...]


def walk_folders(
    places: Sequence[Path], *, output: Path, left_out: Counter[str]
) -> Iterator[Folder]:
    """Yield every folder of the trees ``places`` once, and each file in ``places``, in order.

    Links are followed, even in circles. Hidden files and folders, results and the ``output`` folder
    are left out. If there are several trees, each title begins with the name of its tree.
    """
    seen: set[tuple[int, int] | Path] = set()
    # The tree may lead to it by a link, under another path.
    own = file_identity(output) if output.exists() else None

    def note(error: OSError) -> None:
        left_out[UNOPENED.format(reason=error.strerror)] += 1

    for place, tree in zip(places, _tree_names(places), strict=True):
        if not place.is_dir():
            yield Folder(place, "", (place,))
            continue
        for path, inside, names in os.walk(place, onerror=note, followlinks=True):
            folder = Path(path)
            identity = file_identity(folder)
            results = (
                STUDY_FILE in names
                or (COHORT in names and is_cohort_table(folder / COHORT))
                or identity == own
            )
            left_out[RESULTS] += results and identity not in seen
            if results or identity in seen:
                inside.clear()
                continue
            seen.add(identity)
            inside[:] = sorted(name for name in inside if not name.startswith("."))
            visible = (folder / name for name in sorted(names) if not name.startswith("."))
            files = filter(may_be_file, visible)  # reading a pipe would block for ever
            title = PurePosixPath(tree, folder.relative_to(place).as_posix())
            yield Folder(folder, "" if title == PurePosixPath() else str(title), tuple(files))


def is_cohort_table(table: Path) -> bool:
    """Return whether a file is the table of a cohort of this program."""
    try:
        refuse_special(table)
        with table.open("rb") as content:
            return _HEAD.match(content.read(100)) is not None
    except OSError:
        return False


def _tree_names(places: Sequence[Path]) -> list[str]:
    """Return a unique name for each tree, with which titles begin; "" for a single tree."""
    if len(places) == 1:
        return [""]
    names: list[str] = []
    for place in places:
        name, number = resolve_links(place).name or "root", 1
        while (unique := name if number == 1 else f"{name}_{number}") in names:
            number += 1
        names.append(unique)
    return names
