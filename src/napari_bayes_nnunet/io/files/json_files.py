"""JSON files that are read back into dataclasses."""

from __future__ import annotations

import errno
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NewType, TypeAlias, TypeVar, cast

from annotated_types import Interval

from .. import DataError
from .access import UNREADABLE
from .limits import read_small

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Count: TypeAlias = Annotated[int, Interval(ge=0, le=2**53)]
"""A whole number from 0."""
Ordinal: TypeAlias = Annotated[int, Interval(ge=1, le=2**31 - 1)]
"""A whole number from 1, such as a phase or a slice in a file."""
Positive: TypeAlias = Annotated[float, Interval(gt=0)]
NEWER_JSON = (
    "{file} was written by a newer version of this program. Install that version to open it."
)
DAMAGED_JSON = "{file} is damaged. {repair}"
Content = TypeVar("Content")
LONGEST: Final = 80
"""Characters of a value that an error quotes."""


@contextmanager
def reading_json(file: Path, *, repair: str, newest: int | None = None) -> Iterator[bytes]:
    """Give the bytes of ``file`` for `parse_json`, and raise DataError for all that goes wrong.

    Its sentence tells apart a file of a newer version, one that cannot be read, and a damaged one,
    which is also what a ValueError inside the block means; ``repair`` says what to do then.
    ``newest`` is the highest ``format`` this version knows. A missing file raises
    FileNotFoundError. The content of the file, which may name a patient, is in no sentence.
    """
    try:
        text = read_small(file)
        if newest is not None and _format_number(text) > newest:
            raise DataError(NEWER_JSON, file=file)
        yield text
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno == errno.EFBIG:  # larger than any file that this program writes
            raise DataError(DAMAGED_JSON, file=file, repair=repair) from error
        reason = error.strerror or type(error).__name__
        raise DataError(UNREADABLE, file=file, reason=reason) from error
    except (ValueError, ArithmeticError):
        raise DataError(DAMAGED_JSON, file=file, repair=repair) from None


def read_json(
    file: Path, kind: type[Content], *, repair: str, newest: int | None = None
) -> Content:
    """Return the content of ``file`` as a ``kind``; see `reading_json`."""
    with reading_json(file, repair=repair, newest=newest) as text:
        return parse_json(text, kind)


def parse_json(text: bytes | str, kind: type[Content]) -> Content:
    """Return JSON as a ``kind``: a dataclass, or a type such as ``dict[str, Any]``.

    Types are strict, NaN and infinity are refused, and unknown keys are ignored. Raises ValueError
    for anything else.
    """
    # pydantic does not look into unknown keys, where NaN may stand.
    _loaded(text)
    content: Content = _adapter(cast(Any, kind)).validate_json(text)
    return content


def excerpt(text: str) -> str:
    """Return the start of a text from a file, printable and in one line, for an error."""
    line = "".join(letter if letter.isprintable() else "\ufffd" for letter in text[:LONGEST])
    return f"{line}…" if len(text) > LONGEST else line


def _format_number(text: bytes) -> int:
    """Return the number ``format`` of a file. Raises ValueError if there is none."""
    content = _loaded(text)
    number = content.get("format") if isinstance(content, dict) else None
    if type(number) is not int:
        raise ValueError("The format number is missing.")
    return number


def _loaded(text: bytes | str) -> Any:
    """Return JSON as Python objects, in which no number is NaN or infinite."""
    try:
        return json.loads(text, parse_float=_finite, parse_constant=_finite)
    except RecursionError as error:
        raise ValueError("Lists or dictionaries are nested too deeply.") from error


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("A number is not finite.")
    return number


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    """Return the validator of a ``kind``.

    pydantic is imported here, because that takes a tenth of a second. It accepts no settings for a
    dataclass, but passes those for another type on to it.
    """
    from pydantic import ConfigDict, TypeAdapter

    settings = ConfigDict(strict=True, allow_inf_nan=False)
    new_type: Any = NewType  # mypy wants it at the top level of a module
    return TypeAdapter(new_type("content", kind), config=settings)
