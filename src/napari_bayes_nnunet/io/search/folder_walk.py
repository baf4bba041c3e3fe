"""The folders of trees that are searched for studies, with the files in each."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from ..study.info import STUDY_FILE

COHORT: Final = "cohort.csv"
"""The table in the output folder of a run over many studies: no results are looked for inputs."""
_HEAD: Final = re.compile(rb"\W*study\W+outcome\W+predicted_quality\W")
"""How it begins, also saved again by a spreadsheet: others call tables of their own so, too."""
RESULTS: Final = "Folders with results of this program"


@dataclass(frozen=True)
class Folder:
    """A folder with the files in it; ``title`` tells where in the trees it is, "a/b", "" the top.

    A file that was named alone counts as a folder of itself.
    """

    path: Path
    title: str
    files: tuple[Path, ...]


def walk_folders(
    places: Sequence[Path], *, output: Path, left_out: Counter[str]
) -> Iterator[Folder]:
    """Every folder once, in order, also where links lead in circles; and the files in ``places``.

    What is hidden, results and the ``output`` folder are left out. Of several trees each title
    begins with the name of its tree.
    """
    seen: set[tuple[int, int]] = set()
    output = output.resolve()

    def note(error: OSError) -> None:
        left_out[f"Folders that cannot be opened ({error.strerror})"] += 1

    for place, tree in zip(places, _tree_names(places), strict=True):
        if not place.is_dir():
            yield Folder(place, "", (place,))
            continue
        for path, inside, names in os.walk(place, onerror=note, followlinks=True):
            folder, status = Path(path), os.stat(path)
            identity = status.st_dev, status.st_ino
            results = (
                STUDY_FILE in names
                or (COHORT in names and is_cohort_table(folder / COHORT))
                or folder.resolve() == output
            )
            left_out[RESULTS] += results and identity not in seen
            if results or identity in seen:
                inside.clear()
                continue
            seen.add(identity)
            inside[:] = sorted(name for name in inside if not name.startswith("."))
            seen_there = (folder / name for name in sorted(names) if not name.startswith("."))
            files = filter(Path.is_file, seen_there)  # a pipe would be waited at for ever
            title = PurePosixPath(tree, folder.relative_to(place).as_posix())
            yield Folder(folder, "" if title == PurePosixPath() else str(title), tuple(files))


def is_cohort_table(table: Path) -> bool:
    """Whether a file is the table of a run of this program."""
    try:
        with table.open("rb") as content:
            return _HEAD.match(content.read(100)) is not None
    except OSError:
        return False


def _tree_names(places: Sequence[Path]) -> list[str]:
    """What the titles of each tree begin with: nothing where there is only one."""
    if len(places) == 1:
        return [""]
    names: list[str] = []
    for place in places:
        name, number = place.resolve().name or "root", 1
        while (again := name if number == 1 else f"{name}_{number}") in names:
            number += 1
        names.append(again)
    return names
