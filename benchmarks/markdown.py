"""Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_bayes_nnunet.core.metrics.bootstrap import Estimate


def with_interval(estimate: Estimate, factor: float = 1, digits: int = 3, sign: str = "") -> str:
    """Return "0.912 (0.901 to 0.920)", a value and its 95 % interval, both times ``factor``."""
    numbers = (estimate.value, *estimate.interval)
    value, low, high = (f"{factor * number:{sign}.{digits}f}" for number in numbers)
    return f"{value} ({low} to {high})"


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table, with bars in cells escaped."""
    lines = [[str(cell).replace("|", r"\|") for cell in line] for line in (heads, *rows)]
    lines.insert(1, ["---"] * len(heads))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
