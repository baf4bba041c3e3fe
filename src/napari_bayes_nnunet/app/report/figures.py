"""Colours, resolution and encoding of all figures of the reports."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METHOD_COLORS: Final = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"),
    *("#7A4B00", "#5A6675"),
)
"""Colours of the methods, in order, for colour-blind readers (Okabe and Ito)."""
INK: Final = "#18212c"
MUTED: Final = "#5a6675"
GRID: Final = "#e3e8ee"
DPI: Final = 160
MATH: Final = r"\mathdefault"
"""In the labels of the ticks of a logarithmic axis, once they are drawn."""


def keep_dollars(figure: Figure) -> None:
    """Draw names of files and methods as they are, not as mathematics between two "$".

    The labels of a logarithmic axis stay mathematics.
    """
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        if isinstance(text, Text) and "$" in text.get_text() and MATH not in text.get_text():
            text.set_parse_math(False)


def encode_png(figure: Figure) -> bytes:
    """Return the figure as a PNG file."""
    keep_dollars(figure)
    file = BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
