"""Folders that are whole or absent."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from .. import DataError
from .access import UNWRITABLE

BUILDING: Final = ".writing-"


@contextmanager
def appearing(folder: Path) -> Iterator[Path]:
    """Yield a hidden folder that is renamed to ``folder`` at the end, or removed after an error."""
    building: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder)
        building = folder.with_name(f"{BUILDING}{folder.name}-{secrets.token_hex(4)}")
        building.mkdir()
        yield building
        if folder.exists():
            folder.rmdir()  # it is empty, and Windows cannot rename onto it
        building.rename(folder)
    except OSError as error:
        file = error.filename if Path(str(error.filename)).is_absolute() else folder
        # The hidden name means nothing to a user.
        file = str(file).replace(str(building), str(folder))
        raise DataError(UNWRITABLE, file=file, reason=error.strerror or str(error)) from error
    except DataError as error:
        if str(building) not in str(error):
            raise
        problem = str(error).replace(str(building), str(folder))
        raise DataError("{problem}", problem=problem) from error
    finally:
        if building is not None:
            shutil.rmtree(building, ignore_errors=True)


def _remove_leftovers(folder: Path) -> None:
    """Remove unfinished folders of killed processes that wrote to the same folder."""
    pattern = re.compile(re.escape(f"{BUILDING}{folder.name}-") + r"[0-9a-f]{8}")
    for leftover in folder.parent.iterdir():
        if pattern.fullmatch(leftover.name) and leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
