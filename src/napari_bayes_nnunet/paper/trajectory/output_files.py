"""Files of a trajectory: a page, two tables, and two figures in print resolution."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
from numpy.typing import NDArray

from ...app.report.figures import encode_png
from ...app.report.html import UNKNOWN, Tile, render_page
from ...app.report.output_folder import check_report_files, unwritable
from ...core.counts import format_count
from ...io.files.atomic import replacing, write_text
from ...io.files.csv_text import csv_text
from .analysis import SEED, LayerDistances, TrajectoryAnalysis, analyse_trajectory, with_control
from .figures import draw_distances, draw_trajectory

PAGE, TABLE, DISTANCES = "trajectory.html", "trajectory.csv", "distances.csv"
FIGURES: Final = {"trajectory.png": draw_trajectory, "distances.png": draw_distances}
_FIRST_TITLES: Final = ("epoch", "cycle", "member", "learning_rate")
PAPER_DPI: Final = 300
ONLY_MEMBERS_KNOWN: Final = "only members known"
MODES: Final = (
    "Members of different cycles are {modes.ratio:.3g} times as far apart as members of the same "
    "cycle ({modes.between:.3g} and {modes.within:.3g}). The silhouette is {modes.silhouette:.2f}."
)
CONTROL_MODES: Final = (
    "Without restarts, the same epochs are {modes.ratio:.3g} times as far apart, and the "
    "silhouette is {modes.silhouette:.2f}."
)
_LAYER_COLUMNS: Final = ("x", "y", "member_x", "member_y", "control_x", "control_y", "step")


def check_trajectory_report(report: Path) -> None:
    """Raise AppError, before long work, if the folder ``report`` cannot be used."""
    tables = {TABLE: ",".join(_FIRST_TITLES), DISTANCES: "layer,"}
    check_report_files(report, tables, [*FIGURES, PAGE])


def write_trajectory(analysis: TrajectoryAnalysis, report: Path) -> Path:
    """Write the files to the folder ``report``, replacing older ones; return the page.

    Raises AppError if the files cannot be written.
    """
    figures = {name: draw(analysis) for name, draw in FIGURES.items()}
    page = trajectory_page(analysis, {name: encode_png(f) for name, f in figures.items()})
    try:
        write_text(report / TABLE, trajectory_csv(analysis))
        write_text(report / DISTANCES, distances_csv(analysis))
        for name, figure in figures.items():
            with replacing(report / name) as temporary:
                figure.savefig(temporary, format="png", dpi=PAPER_DPI)
        write_text(report / PAGE, page)
    except OSError as error:
        raise unwritable(report, error) from error
    return report / PAGE


def trajectory_csv(analysis: TrajectoryAnalysis) -> str:
    """Return one row per epoch: rate, pseudo Dice, and the points and the step of the drawn layer.

    Epochs and cycles count from 0; unknown values are empty.
    """
    schedule = analysis.schedule
    reports = {report.epoch: report for report in analysis.reports}
    structures = list(analysis.reports[-1].pseudo_dice) if analysis.reports else []
    columns = {f"{analysis.drawn_name} {end}": v for end, v in _columns(analysis).items()}
    rows: list[Sequence[Any]] = []
    titles = [f"pseudo_dice_{name}" for name in structures]
    rows.append([*_FIRST_TITLES, *titles, *columns])
    indices = {int(epoch): index for index, epoch in enumerate(analysis.epochs)}
    for epoch in sorted({*reports, *indices}):
        dice = reports[epoch].pseudo_dice if epoch in reports else {}
        index = indices.get(epoch)
        layers = ["" if index is None else _number_text(v[index]) for v in columns.values()]
        member = int(index is not None and analysis.is_member[index])
        start = [epoch, schedule.cycle(epoch), member, f"{schedule.learning_rate(epoch):.9g}"]
        rows.append([*start, *(_number_text(dice.get(name)) for name in structures), *layers])
    return csv_text(rows)


def _columns(analysis: TrajectoryAnalysis) -> Mapping[str, NDArray[np.float64]]:
    """Return (E,) numbers of the drawn layer; those of members are NaN for other epochs."""
    unknown = np.full((len(analysis.epochs), 2), math.nan)
    maps, members = analysis.maps, unknown.copy()
    if maps.members is not None:
        members[analysis.is_member] = maps.members.points
    epochs, control = (
        unknown if known is None else known.points for known in (maps.epochs, maps.control)
    )
    steps = analysis.drawn.steps
    return dict(zip(_LAYER_COLUMNS, (*epochs.T, *members.T, *control.T, steps), strict=True))


def distances_csv(analysis: TrajectoryAnalysis) -> str:
    """Return one row a layer: distances in the unit of the weights, and in norms of the weights."""
    rows: list[Sequence[Any]] = []
    rows.append(["layer", *_distances(analysis.layers[0])])
    for layer in analysis.layers:
        rows.append([layer.name, *map(_number_text, _distances(layer).values())])
    return csv_text(rows)


def _distances(layer: LayerDistances) -> dict[str, Any]:
    lengths = {
        "step": layer.step,
        "step_at_restart": layer.restart,
        "within_modes": layer.modes.within,
        "between_modes": layer.modes.between,
    }
    return {
        "weights": layer.weights,
        "norm": layer.norm,
        **lengths,
        **{f"{name}_relative": layer.relative(length) for name, length in lengths.items()},
        "between_to_within": layer.modes.ratio,
        "silhouette": layer.modes.silhouette,
        "control_between_to_within": layer.control.ratio if layer.control else None,
        "control_silhouette": layer.control.silhouette if layer.control else None,
    }


def _number_text(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.6g}"


def trajectory_text(analysis: TrajectoryAnalysis) -> str:
    """Return the results of the drawn layer, for a terminal."""
    layer = analysis.drawn
    epochs = (
        f"{format_count(len(analysis.epochs), 'epoch')} known"
        if analysis.maps.epochs
        else ONLY_MEMBERS_KNOWN
    )
    cycles = len(np.unique(analysis.cycles[analysis.is_member]))
    lines = [
        f"{analysis.name}, fold {analysis.fold}: {epochs}, "
        f"{format_count(len(analysis.members), 'member')} of {format_count(cycles, 'cycle')}, "
        f"layer {layer.name}."
    ]
    for sentence, modes in ((MODES, layer.modes), (CONTROL_MODES, layer.control)):
        if modes is not None and not math.isnan(modes.ratio):
            lines.append(sentence.format(modes=modes))
    return "\n".join(lines)


def trajectory_page(analysis: TrajectoryAnalysis, figures: Mapping[str, bytes]) -> str:
    """Return the report as an HTML document; ``figures`` are PNG by file name."""
    maps = analysis.maps
    shown = [m for m in (maps.epochs, maps.control, maps.members) if m is not None]
    return render_page(
        "trajectory.html.j2",
        analysis=analysis,
        facts=_facts(analysis),
        warnings=[],
        tiles=list(_tiles(analysis.drawn)),
        figures=figures,
        perplexities=list(dict.fromkeys(f"{m.perplexity:.3g}" for m in shown)),
        has_control_map=maps.control is not None,
        seed=SEED,
        number=_number,
        percent=_percent,
    )


def _facts(analysis: TrajectoryAnalysis) -> list[str]:
    schedule = analysis.schedule
    return [
        f"{datetime.now():%Y-%m-%d %H:%M}",
        f"fold {analysis.fold}",
        f"{format_count(schedule.all_cycles, 'cycle')} of "
        f"{format_count(schedule.cycle_length, 'epoch')}",
        format_count(len(analysis.members), "member"),
        analysis.drawn_name,
    ]


def _tiles(layer: LayerDistances) -> Iterator[Tile]:
    modes, control = layer.modes, layer.control
    apart = f"{_number(modes.between)} / {_number(modes.within)}"
    groups = "1: far apart · 0: no groups"
    if control is not None:
        apart = f"without restarts {_number(control.ratio)} ×"
        groups = f"without restarts {_number(control.silhouette)}"
    restart = layer.restart / layer.step if layer.step > 0 else math.nan
    yield Tile("Between / within cycles", _number(modes.ratio), "×", apart)
    yield Tile("Silhouette of the cycles", _number(modes.silhouette), below=groups)
    yield Tile("Step at a restart", _number(restart), "×", "of the step from epoch to epoch")


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


def trajectory_in_terminal(
    run: Path,
    report: Path,
    *,
    fold: str = "0",
    control: Path | None = None,
) -> None:
    """Analyse the training ``run`` and write the report.

    ``control`` is a training without restarts, whose epochs are grouped in the same way. Raises
    AppError, DataError or ModelError.
    """
    analysis = analyse_trajectory(run, fold=fold)
    if control is not None:
        analysis = with_control(analysis, control)
    check_trajectory_report(report)
    page = write_trajectory(analysis, report)
    click.echo(trajectory_text(analysis))
    click.echo(f"Report: {page}")
