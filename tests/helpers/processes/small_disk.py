"""File systems of tests: one of 50 MB, two paths, no file numbers, a full disk, no access."""

import builtins
import errno
import io
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

MEGABYTES = 50
_BALLAST = "ballast"


class SmallDisk:
    """A mounted file system of 50 MB."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, *, leaving: int = 0) -> None:
        """Write a file that leaves so many bytes free."""
        free = shutil.disk_usage(self.folder).free - leaving
        with (self.folder / _BALLAST).open("ab") as file:
            for start in range(0, free, 1 << 20):
                file.write(bytes(min(1 << 20, free - start)))
        assert shutil.disk_usage(self.folder).free <= leaving

    def make_room(self) -> None:
        """Delete that file."""
        (self.folder / _BALLAST).unlink()

    def make_read_only(self) -> None:
        """Forbid all writing, also by root."""
        _mount("-o", "remount,ro", str(self.folder))


@contextmanager
def mounted_disk(folder: Path) -> Iterator[SmallDisk]:
    """Mount a disk at ``folder``, or skip the test with the reason why that is not possible."""
    with _mounted(folder, "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs"):
        yield SmallDisk(folder)


@contextmanager
def second_path(folder: Path) -> Iterator[Path]:
    """Yield another path of a folder, its name in capitals, as on a disk that ignores the case."""
    with _mounted(folder.with_name(folder.name.upper()), "--bind", str(folder)) as other:
        yield other


def forget_file_numbers(patch: pytest.MonkeyPatch) -> None:
    """Give every file and folder the number 0, as on some network drives of Windows."""
    stat = os.stat

    def without_number(*args: Any, **kwargs: Any) -> os.stat_result:
        mode, _, *others = stat(*args, **kwargs)
        return os.stat_result((mode, 0, *others))

    patch.setattr(os, "stat", without_number)


def hide_files(patch: pytest.MonkeyPatch, *files: Path) -> None:
    """Deny all access to files, as a folder does that may be listed but not entered."""
    hidden = set(map(str, files))
    for module, name in ((os, "stat"), (io, "open"), (builtins, "open")):
        patch.setattr(module, name, partial(_refuse_hidden, hidden, getattr(module, name)))


def _refuse_hidden(
    hidden: set[str], access: Callable[..., Any], path: Any, *args: Any, **options: Any
) -> Any:
    if str(path) in hidden:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    return access(path, *args, **options)


@contextmanager
def _mounted(folder: Path, *arguments: str) -> Iterator[Path]:
    folder.mkdir(parents=True)
    try:
        _mount(*arguments, str(folder))
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or error
        pytest.skip(f"no file system can be mounted: {str(reason).strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True, text=True)


class FullFrom:
    """Replacement of ``os.fsync`` for which the disk is full from write number ``number`` on."""

    def __init__(self, number: int) -> None:
        self.writes = 0
        self._number = number

    def __call__(self, descriptor: Any) -> None:
        self.writes += 1
        if self.writes >= self._number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
