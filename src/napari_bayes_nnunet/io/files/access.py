"""The two sentences on files that cannot be read or written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from ...core.problems import Action
from .. import DataError

UNREADABLE: Final = (
    "{file} cannot be read ({reason}). Check that its drive is connected and that you may read it."
)
UNWRITABLE: Final = (
    "{file} cannot be written ({reason}). Check that its drive has space and that you may write "
    "there."
)


def reading(file: Path | str) -> AbstractContextManager[None]:
    """Raise DataError, which names ``file``, for an OSError in the block."""
    return _telling(UNREADABLE, file)


def writing(file: Path, *remedies: Action) -> AbstractContextManager[None]:
    """Raise DataError, which names ``file`` and the ``remedies``, for an OSError in the block."""
    return _telling(UNWRITABLE, file, *remedies)


@contextmanager
def _telling(template: str, file: Path | str, *remedies: Action) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(template, *remedies, file=file, reason=reason) from error
