"""Files of a folder as parts of 16 MiB that can be taken away one by one, and joined again.

python -m benchmarks.gpu.parts split FOLDER PARTS
python -m benchmarks.gpu.parts take PARTS TARGET [--mib 60]
python -m benchmarks.gpu.parts join PARTS FOLDER

PARTS holds index.zip, with the small files and the checksums of the large ones, and the parts of
the large files, which are named after their content: an unchanged file keeps its parts. ``take``
copies what an earlier ``take`` has not copied yet, at most so many MiB, so that a training state
can be brought home in several steps.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PART_BYTES = 16 * 2**20
SMALL_BYTES = 2**18
"""Files up to this size are stored in the index."""
INDEX, CONTENTS, TAKEN = "index.zip", "contents.json", "taken.txt"
DAMAGED = "{file} is damaged or incomplete. Copy the parts again."
OUTSIDE = "{file} would be written outside of the folder. Split the folder again."


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
    contents: dict[str, dict[str, Any]] = {}
    small: list[str] = []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = file.relative_to(folder).as_posix()
        if leave_out(name):
            continue
        if file.stat().st_size <= SMALL_BYTES:
            small.append(name)
        else:
            contents[name] = _split_file(file, parts)
    temporary = parts / f".{INDEX}"
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(CONTENTS, json.dumps(contents, indent=1))
        for name in small:
            archive.write(folder / name, f"small/{name}")
    os.replace(temporary, parts / INDEX)
    kept = {INDEX, TAKEN, *(part for entry in contents.values() for part in entry["parts"])}
    for path in parts.iterdir():
        if path.name not in kept:
            path.unlink()
    return sorted(path for path in parts.iterdir() if path.name != TAKEN)


def _split_file(file: Path, parts: Path) -> dict[str, Any]:
    whole = hashlib.sha256()
    names = []
    for piece in _pieces(file):
        whole.update(piece)
        name = f"{hashlib.sha256(piece).hexdigest()[:24]}.part"
        names.append(name)
        target = parts / name
        if not target.exists() or target.stat().st_size != len(piece):
            temporary = parts / f".{name}"
            temporary.write_bytes(piece)
            os.replace(temporary, target)
    return {"bytes": file.stat().st_size, "sha256": whole.hexdigest(), "parts": names}


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while piece := stream.read(PART_BYTES):
            yield piece


def join_parts(parts: Path, folder: Path) -> list[Path]:
    """Write the files of ``parts`` into ``folder``, and return them.

    Raises PartsError if a part is missing or damaged; files that were joined before stay.
    """
    written = []
    with _opened(parts / INDEX) as archive:
        for name, entry in _contents(archive).items():
            target = _target(folder, name)
            _join_file(parts, entry, target)
            written.append(target)
        for name in archive.namelist():
            if name.startswith("small/"):
                target = _target(folder, name.removeprefix("small/"))
                target.write_bytes(archive.read(name))
                written.append(target)
    return written


def _opened(index: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(index)
    except (OSError, zipfile.BadZipFile) as error:
        raise PartsError(DAMAGED.format(file=index)) from error


def _contents(archive: zipfile.ZipFile) -> dict[str, dict[str, Any]]:
    contents: dict[str, dict[str, Any]] = json.loads(archive.read(CONTENTS))
    return contents


def _target(folder: Path, name: str) -> Path:
    target = (folder / name).resolve()
    if not target.is_relative_to(folder.resolve()):
        raise PartsError(OUTSIDE.format(file=name))
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _join_file(parts: Path, entry: dict[str, Any], target: Path) -> None:
    whole = hashlib.sha256()
    temporary = target.with_name(f".{target.name}.joining")
    with temporary.open("wb") as stream:
        for part in entry["parts"]:
            if not (parts / part).exists():
                raise PartsError(DAMAGED.format(file=parts / part))
            piece = (parts / part).read_bytes()
            whole.update(piece)
            stream.write(piece)
    if whole.hexdigest() != entry["sha256"]:
        temporary.unlink()
        raise PartsError(DAMAGED.format(file=target))
    os.replace(temporary, target)


def take_parts(parts: Path, target: Path, *, most_bytes: int) -> int:
    """Copy the index and parts not taken before, at most ``most_bytes``; return how many are left.

    The names of taken parts are kept in PARTS/taken.txt.
    """
    target.mkdir(parents=True, exist_ok=True)
    noted = parts / TAKEN
    taken = set(noted.read_text().split()) if noted.exists() else set()
    shutil.copyfile(parts / INDEX, target / INDEX)
    room = most_bytes - (parts / INDEX).stat().st_size
    with _opened(parts / INDEX) as archive:
        names = [part for entry in _contents(archive).values() for part in entry["parts"]]
    waiting = [name for name in dict.fromkeys(names) if name not in taken]
    for number, name in enumerate(waiting):
        room -= (parts / name).stat().st_size
        if room < 0:
            return len(waiting) - number
        shutil.copyfile(parts / name, target / name)
        with noted.open("a") as stream:
            stream.write(f"{name}\n")
    return 0


def main(words: list[str] | None = None) -> None:
    """Split, take or join."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, paths in (
        ("split", ("folder", "parts")),
        ("take", ("parts", "target")),
        ("join", ("parts", "folder")),
    ):
        command = commands.add_parser(name)
        for path in paths:
            command.add_argument(path, type=Path)
    commands.choices["take"].add_argument("--mib", type=int, default=60)
    options = parser.parse_args(words)
    if options.command == "split":
        print(f"{len(split_folder(options.folder, options.parts))} files in {options.parts}")
    elif options.command == "take":
        left = take_parts(options.parts, options.target, most_bytes=options.mib * 2**20)
        print(f"{left} parts are left. Take them with the same command and another target.")
    else:
        try:
            print(f"{len(join_parts(options.parts, options.folder))} files in {options.folder}")
        except PartsError as error:
            raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
