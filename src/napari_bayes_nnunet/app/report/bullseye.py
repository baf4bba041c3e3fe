"""Bull's-eye of the segments of the left ventricle, as SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Final

from ...core.heart.wall import RINGS, SEGMENTS
from .html import UNKNOWN

LARGEST: Final = {"mm": 20.0, "%": 100.0}
"""Value from which a segment has the darkest colour, the same for all hearts."""
SIDE: Final = 220
_RADII: Final = (96.0, 70.0, 44.0, 16.0)
"""Radii between the rings from the base to the apex, whose cap short-axis slices do not show."""
_LIGHT, _DARK = (240, 249, 255), (8, 64, 129)
_UNKNOWN: Final = "#c8c8c8"
_SIDES: Final = {"Anterior": 0, "Lateral": 90, "Inferior": 180, "Septal": 270}
_DARK_SHARE: Final = 0.55
"""Share of the largest value from which texts are white."""


def draw_bullseye(value: Callable[[int], float], unit: str, *, ink: str = "currentColor") -> str:
    """Return the drawing of ``value`` by segment, from 1; NaN is unknown.

    The apex is in the middle, the anterior wall at the top, the septum on the left, as in the
    standard. ``ink`` is the colour of the texts around it.
    """
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg"\nviewBox="0 0 {SIDE} {SIDE}" width="{SIDE}" '
        f'height="{SIDE}" font-family="sans-serif" text-anchor="middle">'
        f"{''.join(_sides(ink))}{''.join(_segments(value, unit))}</svg>"
    )


def _sides(ink: str) -> Iterator[str]:
    half = SIDE / 2
    for name, degrees in _SIDES.items():
        turn = f"rotate({degrees},{half},{half})"
        upright = f"{turn}rotate(180,{half},7)" if name == "Inferior" else turn
        yield (
            f'<text transform="{upright}"\nx="{half}" y="11" font-size="11" fill="{ink}">'
            f"{name}</text>"
        )


def _segments(value: Callable[[int], float], unit: str) -> Iterator[str]:
    number = 0
    for ring, walls in enumerate(RINGS.values()):
        width = 360 / len(walls)
        for wall in range(len(walls)):
            number += 1
            yield _segment(number, value(number), unit, ring, 90 + width * wall, width)


def _segment(number: int, value: float, unit: str, ring: int, middle: float, width: float) -> str:
    outer, inner, first, last = *_RADII[ring : ring + 2], middle - width / 2, middle + width / 2
    path = (
        f"M{_point(outer, first)} A{outer} {outer} 0 0 0 {_point(outer, last)}\n"
        f"L{_point(inner, last)} A{inner} {inner} 0 0 1 {_point(inner, first)} Z"
    )
    known = math.isfinite(value)
    share = min(max(value / LARGEST[unit], 0), 1) if known else 0.0
    color = _mix(share) if known else _UNKNOWN
    text = f"{value:.{0 if unit == '%' else 1}f}" if known else UNKNOWN
    x, y = _point((outer + inner) / 2, middle).split()
    return (
        f"<g><title>{number} {SEGMENTS[number - 1]}: {text} {unit}</title>\n"
        f'<path d="{path}" fill="{color}" stroke="#666666" stroke-width="1"/>'
        f'<text x="{x}" y="{float(y) + 4:.2f}" font-size="11" '
        f'fill="{"#ffffff" if share > _DARK_SHARE else "#111111"}">{text}</text></g>'
    )


def _point(radius: float, degrees: float) -> str:
    """Return "x y" of a point, counterclockwise from the right."""
    angle = math.radians(degrees)
    return f"{SIDE / 2 + radius * math.cos(angle):.2f} {SIDE / 2 - radius * math.sin(angle):.2f}"


def _mix(share: float) -> str:
    parts = (round(low + share * (high - low)) for low, high in zip(_LIGHT, _DARK, strict=True))
    return "#{:02x}{:02x}{:02x}".format(*parts)
