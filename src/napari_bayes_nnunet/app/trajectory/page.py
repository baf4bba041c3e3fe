"""Page of a trajectory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from ...core.counts import format_count
from ..report.html import UNKNOWN, Tile, render_page
from .analysis import SEED, LayerDistances, TrajectoryAnalysis
from .member_comparison import MemberCase
from .member_comparison_picture import picture_name

GROWTH = (
    "The distance between two members of a cycle grows with the power {exponent:.2f} of the epochs "
    "between them."
)
STAYING = "The members stay around one point."
WALKING = "The members follow a random walk."
DRIFTING = "The members drift in nearly a straight line."


def trajectory_page(
    analysis: TrajectoryAnalysis, cases: Sequence[MemberCase], figures: Mapping[str, bytes]
) -> str:
    """Return the report as an HTML document; ``figures`` are PNG by file name."""
    maps = analysis.maps[analysis.first.name]
    shown = [m for m in (maps.epochs, maps.control, maps.members) if m is not None]
    return render_page(
        "trajectory.html.j2",
        analysis=analysis,
        facts=_facts(analysis),
        warnings=[],
        tiles=list(_tiles(analysis.first)),
        figures=figures,
        perplexities=list(dict.fromkeys(f"{m.perplexity:.3g}" for m in shown)),
        has_control_map=maps.control is not None,
        seed=SEED,
        way=spreading_text(analysis.first),
        cases=[(case, figures[picture_name(case)] if case.shown else None) for case in cases],
        number=_number,
        percent=_percent,
    )


def spreading_text(layer: LayerDistances) -> str:
    """Return in a sentence if the members of a cycle stay or drift, "" if that is not known."""
    exponent = layer.spreading.exponent
    if math.isnan(exponent):
        return ""
    movement = STAYING if exponent < 0.25 else WALKING if exponent < 0.75 else DRIFTING
    return f"{GROWTH.format(exponent=exponent)} {movement}"


def _facts(analysis: TrajectoryAnalysis) -> list[str]:
    schedule = analysis.schedule
    return [
        f"{datetime.now():%Y-%m-%d %H:%M}",
        f"fold {analysis.fold}",
        f"{format_count(schedule.all_cycles, 'cycle')} of "
        f"{format_count(schedule.cycle_length, 'epoch')}",
        format_count(len(analysis.members), "member"),
        analysis.first.name,
    ]


def _tiles(layer: LayerDistances) -> Iterator[Tile]:
    modes, control = layer.modes, layer.control
    apart = f"{_number(modes.between)} / {_number(modes.within)}"
    groups = "1: far apart · 0: no groups"
    if control is not None:
        apart = f"without restarts {_number(control.ratio)} ×"
        groups = f"without restarts {_number(control.silhouette)}"
    restart = layer.restart / layer.step if layer.step > 0 else math.nan
    drift = "0: one point · 1: straight line"
    yield Tile("Between / within cycles", _number(modes.ratio), "×", apart)
    yield Tile("Silhouette of the cycles", _number(modes.silhouette), below=groups)
    yield Tile("Step at a restart", _number(restart), "×", "of the step from epoch to epoch")
    yield Tile("Drift exponent", _number(layer.spreading.exponent), below=drift)


def _number(value: float) -> str:
    """Return the value with three digits."""
    if math.isnan(value):
        return UNKNOWN
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}"


def _percent(share: float) -> str:
    """Return the share in % with two digits, or "" if it is not known."""
    if math.isnan(share):
        return ""
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"
