"""The way of a training as files: a page, two tables, and the figures as pictures for papers."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ...io.files.atomic import replacing, write_text
from ..report.figures import encode_png
from ..report.output_folder import unwritable
from .analysis import LayerDistances, TrajectoryAnalysis
from .figures import draw, draw_distances, draw_layers
from .member_comparison import MemberCase
from .member_comparison_picture import draw_members, picture_name
from .page import trajectory_page, way_of_members

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE, TABLE, DISTANCES = "trajectory.html", "trajectory.csv", "distances.csv"
PAPER_DPI: Final = 300
_OF_LAYER: Final = ("x", "y", "member_x", "member_y", "step")


def write_trajectory(
    analysis: TrajectoryAnalysis, report: Path, *, cases: Sequence[MemberCase] = ()
) -> Path:
    """Write the files into the folder ``report``, replacing those of before; returns the page.

    ``cases`` are those with pictures of single members. Raises AppError where the files cannot be
    written.
    """
    figures = drawn(analysis, cases)
    page = trajectory_page(analysis, cases, {name: encode_png(f) for name, f in figures.items()})
    try:
        write_text(report / TABLE, trajectory_csv(analysis))
        write_text(report / DISTANCES, distances_csv(analysis))
        (report / "layers.png").unlink(missing_ok=True)  # of other layers than now, perhaps
        for name, figure in figures.items():
            with replacing(report / name) as temporary:
                figure.savefig(temporary, format="png", dpi=PAPER_DPI)
        write_text(report / PAGE, page)
    except OSError as error:
        raise unwritable(report, error) from error
    return report / PAGE


def drawn(analysis: TrajectoryAnalysis, cases: Sequence[MemberCase]) -> dict[str, Figure]:
    """File name → figure, in the order of the page."""
    figures = {"trajectory.png": draw(analysis)}
    if len(analysis.maps) > 1:
        figures["layers.png"] = draw_layers(analysis)
    figures["distances.png"] = draw_distances(analysis)
    for case in cases:
        if case.shown:
            figures[picture_name(case)] = draw_members(case)
    return figures


def trajectory_csv(analysis: TrajectoryAnalysis) -> str:
    """One row an epoch: rate, pseudo Dice, and of each drawn layer its places and its step.

    Epochs and cycles count from 0; what is not known is empty.
    """
    schedule = analysis.schedule
    reports = {report.epoch: report for report in analysis.reports}
    structures = list(analysis.reports[-1].pseudo_dice) if analysis.reports else []
    columns = {
        f"{name} {end}": values
        for name in analysis.maps
        for end, values in _columns(analysis, name).items()
    }
    file = io.StringIO()
    rows = csv.writer(file, lineterminator="\n")
    titles = [f"pseudo_dice_{name}" for name in structures]
    rows.writerow(["epoch", "cycle", "member", "learning_rate", *titles, *columns])
    places = {int(epoch): place for place, epoch in enumerate(analysis.epochs)}
    for epoch in sorted({*reports, *places}):
        dice = reports[epoch].pseudo_dice if epoch in reports else {}
        place = places.get(epoch)
        of_layers = ["" if place is None else _written(v[place]) for v in columns.values()]
        member = int(place is not None and analysis.is_member[place])
        start = [epoch, schedule.cycle(epoch), member, f"{schedule.learning_rate(epoch):.9g}"]
        rows.writerow([*start, *(_written(dice.get(name)) for name in structures), *of_layers])
    return file.getvalue()


def _columns(analysis: TrajectoryAnalysis, name: str) -> Mapping[str, NDArray[np.float64]]:
    """(E,) numbers of a layer; those of members NaN for other epochs."""
    unknown = np.full((len(analysis.epochs), 2), math.nan)
    maps, of_members = analysis.maps[name], unknown.copy()
    if maps.members is not None:
        of_members[analysis.is_member] = maps.members.places
    of_epochs = unknown if maps.epochs is None else maps.epochs.places
    steps = analysis.layer(name).steps
    return dict(zip(_OF_LAYER, (*of_epochs.T, *of_members.T, steps), strict=True))


def distances_csv(analysis: TrajectoryAnalysis) -> str:
    """One row a layer: distances in the unit of the weights, and in norms of these."""
    file = io.StringIO()
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(["layer", *_distances(analysis.layers[0])])
    for layer in analysis.layers:
        rows.writerow([layer.name, *map(_written, _distances(layer).values())])
    return file.getvalue()


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
        "drift_exponent": layer.spreading.exponent,
        "control_between_to_within": layer.control.ratio if layer.control else None,
        "control_silhouette": layer.control.silhouette if layer.control else None,
    }


def _written(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.6g}"


def trajectory_text(analysis: TrajectoryAnalysis) -> str:
    """What was found of the first layer, for a terminal."""
    layer = analysis.first
    known = f"{len(analysis.epochs)} epochs" if analysis.is_whole else "the members"
    lines = [
        f"{analysis.name}, fold {analysis.fold}: {known} known, {len(analysis.members)} members of "
        f"{len(np.unique(analysis.cycles[analysis.is_member]))} cycles; {layer.name}."
    ]
    if not math.isnan(layer.modes.ratio):
        lines.append(
            f"Members of different cycles are {layer.modes.ratio:.3g} times as far apart as those "
            f"of one ({layer.modes.between:.3g} and {layer.modes.within:.3g}); silhouette "
            f"{layer.modes.silhouette:.2f}."
        )
    if layer.control is not None:
        lines.append(
            f"Without restarts the same epochs are {layer.control.ratio:.3g} times as far apart; "
            f"silhouette {layer.control.silhouette:.2f}."
        )
    return "\n".join([*lines, *filter(None, [way_of_members(layer)])])
