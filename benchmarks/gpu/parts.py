"""Files of a folder as parts of 16 MiB that can be taken away one by one, and joined again.

python -m benchmarks.gpu.parts split FOLDER PARTS
python -m benchmarks.gpu.parts take PARTS TARGET [--mib 60]
python -m benchmarks.gpu.parts join PARTS FOLDER

PARTS holds index.json, with the parts of each file, and the parts, which are named after their
content: an unchanged file keeps its parts. ``take`` copies what an earlier ``take`` has not copied
yet, at most so many MiB, so that a training state can be brought home in several steps.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from ..command_line import run

PART_BYTES = 16 * 2**20
INDEX, TAKEN = "index.json", "taken.txt"
DAMAGED = "{file} is damaged or incomplete. Copy the parts again."


class PartsError(Exception):
    """Parts that cannot be joined."""


def split_folder(
    folder: Path, parts: Path, *, leave_out: Callable[[str], bool] = lambda name: False
) -> list[Path]:
    """Split all files of ``folder`` into ``parts``, remove parts of earlier states, return all.

    ``leave_out`` is called with the path of each file relative to the folder. The index is written
    after the new parts and before old parts are removed, so that a kill leaves a whole state.
    """
    parts.mkdir(parents=True, exist_ok=True)
    contents: dict[str, list[str]] = {}
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = file.relative_to(folder).as_posix()
        if not leave_out(name):
            contents[name] = _split_file(file, parts)
    _write(parts / INDEX, json.dumps(contents, indent=1).encode())
    kept = {INDEX, TAKEN, *(part for names in contents.values() for part in names)}
    for path in parts.iterdir():
        if path.name not in kept:
            path.unlink()
    return sorted(path for path in parts.iterdir() if path.name != TAKEN)


def _split_file(file: Path, parts: Path) -> list[str]:
    names = []
    with file.open("rb") as stream:
        while piece := stream.read(PART_BYTES):
            names.append(_name_of(piece))
            if not (parts / names[-1]).exists():
                _write(parts / names[-1], piece)
    return names


def _name_of(piece: bytes) -> str:
    return f"{hashlib.sha256(piece).hexdigest()[:24]}.part"


def _write(file: Path, content: bytes) -> None:
    """Write a file at once, so that a kill leaves none that is cut short."""
    temporary = file.with_name(f".{file.name}")
    temporary.write_bytes(content)
    os.replace(temporary, file)


def join_parts(parts: Path, folder: Path) -> list[Path]:
    """Write the files of ``parts`` into ``folder``, and return them.

    Raises PartsError if a part is missing or damaged; files that were joined before stay.
    """
    written = []
    for name, names in _contents(parts).items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.joining")
        with temporary.open("wb") as stream:
            for file in (parts / part for part in names):
                piece = file.read_bytes() if file.exists() else b""
                if _name_of(piece) != file.name:
                    raise PartsError(DAMAGED.format(file=file))
                stream.write(piece)
        os.replace(temporary, target)
        written.append(target)
    return written


def _contents(parts: Path) -> dict[str, list[str]]:
    """Return the parts of each file. Raises PartsError without an index."""
    if not (parts / INDEX).exists():
        raise PartsError(DAMAGED.format(file=parts / INDEX))
    contents: dict[str, list[str]] = json.loads((parts / INDEX).read_text(encoding="utf-8"))
    return contents


def take_parts(parts: Path, target: Path, *, most_bytes: int) -> int:
    """Copy the index and parts not taken before, at most ``most_bytes``; return how many are left.

    The names of taken parts are kept in PARTS/taken.txt.
    """
    target.mkdir(parents=True, exist_ok=True)
    noted = parts / TAKEN
    taken = set(noted.read_text().split()) if noted.exists() else set()
    shutil.copyfile(parts / INDEX, target / INDEX)
    room = most_bytes - (parts / INDEX).stat().st_size
    names = [part for names in _contents(parts).values() for part in names]
    waiting = [name for name in dict.fromkeys(names) if name not in taken]
    for number, name in enumerate(waiting):
        room -= (parts / name).stat().st_size
        if room < 0:
            return len(waiting) - number
        shutil.copyfile(parts / name, target / name)
        with noted.open("a") as stream:
            stream.write(f"{name}\n")
    return 0


def split(folder: Path, parts: Path) -> str:
    """Split a folder, and say into how many files."""
    return f"{len(split_folder(folder, parts))} files in {parts}"


def take(parts: Path, target: Path, *, mib: int = 60) -> str:
    """Take parts, and say how many are left."""
    left = take_parts(parts, target, most_bytes=mib * 2**20)
    return f"{left} parts are left. Take them with the same command and another target."


def join(parts: Path, folder: Path) -> str:
    """Join parts, and say how many files they were."""
    return f"{len(join_parts(parts, folder))} files in {folder}"


if __name__ == "__main__":
    run(__doc__, split, take, join)
