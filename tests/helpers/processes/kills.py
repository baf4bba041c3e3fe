"""What a kill would leave of a folder."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def killed_anywhere(work: Callable[[], object], folder: Path, copies: Path) -> list[Path]:
    """Do ``work``, and return copies of ``folder``: one of each state that it has had meanwhile.

    It is looked at after each call of Python's own functions, which write all files.
    """
    seen: dict[Path, tuple[int, int]] = {}
    killed: list[Path] = []

    def copy_changes(_: Any, event: str, __: Any) -> None:
        nonlocal seen
        if event == "c_return":
            stats = {file: file.stat() for file in folder.rglob("*")}
            now = {file: (stat.st_size, stat.st_mtime_ns) for file, stat in stats.items()}
            if now != seen:
                seen = now
                killed.append(shutil.copytree(folder, copies / str(len(killed))))

    sys.setprofile(copy_changes)
    try:
        work()
    finally:
        sys.setprofile(None)
    return killed
