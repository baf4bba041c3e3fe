"""HTML reports from the Jinja2 templates in this folder."""

from __future__ import annotations

import base64
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from .figures import DPI

if TYPE_CHECKING:
    from jinja2 import Environment

UNKNOWN: Final = "–"
"""Stands for an unknown number."""
_REM_PER_INCH: Final = 7.0


class Tile(NamedTuple):
    """A key figure at the top of a report."""

    label: str
    value: str
    unit: str = ""
    below: str = ""


def render_page(template: str, **values: object) -> str:
    """Return the HTML document of a template; every value is escaped.

    The document holds its style and pictures and refers to nothing outside itself.
    """
    return _environment().get_template(template).render(values)


def data_uri(png: bytes) -> str:
    """Return a PNG file as the source of an ``img`` element."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def natural_width(png: bytes) -> str:
    """Return the CSS width that gives text the same size in all figures."""
    width = int.from_bytes(png[16:20])  # pixels, from the header of the PNG file
    return f"{_REM_PER_INCH * width / DPI:.1f}rem"


@cache
def _environment() -> Environment:
    from jinja2 import (
        Environment,
        PackageLoader,
        StrictUndefined,
    )  # takes 0.1 s, too long for opening a dock

    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"data_uri": data_uri, "natural_width": natural_width}
    return environment
