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


def encode_png(figure: Figure) -> bytes:
    """Return the figure as a PNG file."""
    file = BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
