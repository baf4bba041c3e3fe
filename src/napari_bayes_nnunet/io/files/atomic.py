"""Atomic writing of files: a killed process leaves the old file or the new one."""

from __future__ import annotations

import glob
import json
import math
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

ESCAPED: Final = "backslashreplace"
"""Error handler for text that UTF-8 does not allow, such as undecoded bytes of a file name."""
RANDOM_DIGITS: Final = 8
"""Number of random characters in the names of temporary files."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to ``path``, and rename it to ``path`` if the block succeeds.

    The content is on the disk before the rename, so a crash leaves the old file or the new one.
    The temporary name keeps the suffixes, because some libraries choose the format by them.
    Missing folders are made, and removed again if the block fails. A file that is replaced passes
    its permissions on.
    """
    with removing_if_empty(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        name = f".writing-{secrets.token_hex(RANDOM_DIGITS // 2)}-{path.name.lstrip('.')}"
        temporary = path.with_name(name)
        # Nobody else reads the new content before it has the permissions of the old file.
        temporary.touch(0o600 if path.exists() else 0o666, exist_ok=False)
        try:
            yield temporary
            # Without this, a crash after the rename could leave an empty file.
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            with suppress(OSError):  # a new file, or a drive without permissions
                shutil.copymode(path, temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def removing_if_empty(folder: Path, *locks: Path) -> Iterator[None]:
    """Remove ``folder`` and its parents if the block made them and left nothing but ``locks``."""
    made: list[Path] = []
    with suppress(OSError):  # a name that is too long
        made += takewhile(lambda path: not path.exists(), (folder, *folder.absolute().parents))
    try:
        yield
    finally:
        with suppress(OSError):  # not made, or not empty
            # A lock file alone is no content, and would keep the folder.
            if made and {*folder.iterdir()} <= {*locks}:
                for lock in locks:
                    lock.unlink(missing_ok=True)
            for path in made:
                path.rmdir()


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8, with escapes for undecoded bytes of file names."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors=ESCAPED)


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` to ``path`` as `json_text`."""
    write_text(path, json_text(content))


def json_text(content: Any) -> str:
    """Return ``content`` as indented JSON.

    Undecoded bytes of file names become question marks, because they cannot be read back.
    """
    text = json.dumps(content, indent=1)
    if r"\ud" in text:  # half of a character: such a byte, or one half of a pair
        decoded = json.dumps(content, ensure_ascii=False).encode(errors="replace")
        text = json.dumps(json.loads(decoded), indent=1)
    return text + "\n"


def remove_leftovers(folder: Path, *names: str) -> None:
    """Delete the temporary files that killed processes left in ``folder``.

    With ``names``, only those of files with these names, because others may be written just now.
    """
    random = "?" * RANDOM_DIGITS
    patterns = [f".writing-{random}-{glob.escape(name.lstrip('.'))}" for name in names]
    for pattern in patterns or [".writing-*"]:
        for leftover in folder.glob(pattern):
            leftover.unlink(missing_ok=True)


def null_for_nan(value: Any) -> Any:
    """Return a copy of dictionaries, lists and numbers with None for NaN and infinity."""
    if isinstance(value, dict):
        return {key: null_for_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [null_for_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
