"""Page, tables and figures of a trajectory."""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.report.output_folder import check_writable
from napari_bayes_nnunet.core.problems import Action, Remedy
from napari_bayes_nnunet.paper.trajectory.analysis import TrajectoryAnalysis, analyse_trajectory
from napari_bayes_nnunet.paper.trajectory.figures import (
    NO_DICE,
    TOO_FEW_MEMBERS,
    cycle_colors,
    draw_distances,
    draw_trajectory,
)
from napari_bayes_nnunet.paper.trajectory.output_files import (
    CONTROL_MODES,
    FIGURES,
    ONLY_MEMBERS_KNOWN,
    check_trajectory_report,
    distances_csv,
    trajectory_csv,
    trajectory_text,
    write_trajectory,
)
from napari_bayes_nnunet.paper.trajectory.weight_space import Modes

from ...helpers.checks.pages import Page
from ...helpers.checks.problems import says, says_only
from ...helpers.data.trajectories import CYCLES, LAYERS, make_run

LAST = "decoder.stages.1.convs.0.conv.weight"


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> TrajectoryAnalysis:
    return analyse_trajectory(make_run(tmp_path_factory.mktemp("made") / "run").path)


@pytest.fixture(scope="module")
def members_alone(analysis: TrajectoryAnalysis) -> TrajectoryAnalysis:
    """The analysis of a training that kept only its members."""
    kept = np.flatnonzero(analysis.is_member)
    layers = (
        replace(layer, distances=layer.distances[np.ix_(kept, kept)], steps=layer.steps[kept])
        for layer in analysis.layers
    )
    return replace(
        analysis,
        epochs=analysis.members,
        is_member=np.ones(len(kept), bool),
        layers=tuple(layers),
        maps=replace(analysis.maps, epochs=None),
    )


def with_control_maps(analysis: TrajectoryAnalysis) -> TrajectoryAnalysis:
    """Return the analysis with itself as the control."""
    return replace(analysis, maps=replace(analysis.maps, control=analysis.maps.epochs))


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def page_at(file: Path) -> Page:
    return Page(file.read_text(encoding="utf-8"))


# Tables


def test_a_row_for_every_epoch(analysis):
    rows = rows_of(trajectory_csv(analysis))
    assert [int(row["epoch"]) for row in rows] == list(range(3 * CYCLES))
    first, member = rows[0], rows[16]
    assert (first["cycle"], first["member"], first["learning_rate"]) == ("0", "0", "0.1")
    assert (first["pseudo_dice_RV"], first["pseudo_dice_LV"]) == ("0.5", "")
    assert first[f"{LAST} step"] == first[f"{LAST} member_x"] == ""
    assert (member["cycle"], member["member"], member["pseudo_dice_RV"]) == ("1", "1", "0.66")
    assert float(member[f"{LAST} step"]) == pytest.approx(0.1, rel=1e-4)
    maps = analysis.maps
    assert maps.epochs is not None
    assert maps.members is not None
    assert float(member[f"{LAST} x"]) == pytest.approx(maps.epochs.points[16, 0], rel=1e-5)
    assert float(member[f"{LAST} member_y"]) == pytest.approx(maps.members.points[4, 1], rel=1e-5)


def test_epochs_between_members_have_rates_but_no_places(members_alone):
    rows = rows_of(trajectory_csv(members_alone))
    assert len(rows) == 3 * CYCLES
    assert rows[0][f"{LAST} member_x"] == rows[0][f"{LAST} x"] == rows[6][f"{LAST} x"] == ""
    assert rows[0]["pseudo_dice_RV"] == "0.5"
    assert rows[6][f"{LAST} member_x"] != ""


def test_a_row_for_every_layer(analysis):
    rows = rows_of(distances_csv(analysis))
    assert [row["layer"] for row in rows] == list(LAYERS)
    layer, row = analysis.drawn, rows[2]
    assert int(row["weights"]) == math.prod(LAYERS[LAST])
    for name, value in (
        ("step", layer.step), ("step_at_restart", layer.restart), ("norm", layer.norm),
        ("within_modes", layer.modes.within), ("between_modes", layer.modes.between),
        ("between_to_within", layer.modes.between / layer.modes.within),
        ("within_modes_relative", layer.modes.within / layer.norm),
        ("silhouette", layer.modes.silhouette),
    ):  # fmt: skip
        assert float(row[name]) == pytest.approx(value, rel=1e-4), name


# Words


def test_the_text_has_the_results(analysis, members_alone):
    first, second = trajectory_text(analysis).splitlines()
    assert first.startswith("made run, fold 0: 30 epochs")
    assert "12 members of 3 cycles" in first
    assert LAST in first
    assert re.findall(r"\d+(?:\.\d+)?", second) == ["80", "13.3", "0.167", "0.98"]
    assert ONLY_MEMBERS_KNOWN in trajectory_text(members_alone)


@pytest.mark.usefixtures("blank_figures")
def test_the_control_is_in_text_and_tables(analysis, tmp_path):
    control = Modes(within=2.0, between=5.0, silhouette=0.25)
    controlled = replace(
        with_control_maps(analysis),
        layers=tuple(replace(layer, control=control) for layer in analysis.layers),
    )
    assert CONTROL_MODES.format(modes=control) in trajectory_text(controlled)
    last = rows_of(trajectory_csv(controlled))[-1]
    assert last[f"{LAST} control_x"] == last[f"{LAST} x"] != ""
    assert rows_of(trajectory_csv(analysis))[-1][f"{LAST} control_x"] == ""
    row = rows_of(distances_csv(controlled))[0]
    assert (row["control_between_to_within"], row["control_silhouette"]) == ("2.5", "0.25")
    assert rows_of(distances_csv(analysis))[0]["control_silhouette"] == ""
    page = page_at(write_trajectory(controlled, tmp_path))
    assert page.row(LAST)[-2:] == ["2.50", "0.250"]
    assert "without restarts 2.50 ×" in page.text
    assert "no-control" not in page.classes


# Figures


def titles(figure: Any) -> list[str]:
    return [panel.get_title(loc="left") for panel in figure.axes if panel.get_title(loc="left")]


def test_the_figure_is_that_of_the_paper(analysis, members_alone):
    figure = draw_trajectory(analysis)
    assert titles(figure) == [
        "(a) All epochs", "(b) Members", "(c) Learning rate", "(d) Pseudo Dice",
    ]  # fmt: skip
    everything, members = figure.axes[:2]
    assert sum(len(dots.get_offsets()) for dots in everything.collections) == 3 * CYCLES
    assert [len(dots.get_offsets()) for dots in members.collections] == [4, 4, 4]
    (way,) = everything.lines
    assert len(way.get_xdata()) == 3 * CYCLES
    assert way.get_linestyle() != "-"
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["cycle 1", "cycle 2", "cycle 3", "member"]
    assert titles(draw_trajectory(members_alone)) == [
        "(a) Members", "(b) Learning rate", "(c) Pseudo Dice",
    ]  # fmt: skip


def test_the_control_has_a_map_beside_the_training(analysis):
    controlled = with_control_maps(analysis)
    figure = draw_trajectory(controlled)
    assert titles(figure)[:3] == ["(a) All epochs", "(b) Without restarts", "(c) Members"]
    own, other = (
        [tuple(point) for dots in panel.collections for point in dots.get_offsets()]
        for panel in figure.axes[:2]
    )
    assert own == other


def test_a_color_for_each_cycle(analysis):
    for count in (3, 8, 12):
        schedule = replace(analysis.schedule, epochs=10 * count, cycles=count)
        colors = cycle_colors(replace(analysis, schedule=schedule))
        assert len({tuple(color) for color in colors}) == count


def test_missing_panels_have_a_text(analysis):
    few = replace(analysis.maps, members=None)
    figure = draw_trajectory(replace(analysis, maps=few, reports=()))
    said = {text.get_text() for panel in figure.axes for text in panel.texts}
    assert {TOO_FEW_MEMBERS.format(count=12), NO_DICE} <= said


def test_distances_as_they_are(analysis, members_alone):
    figure = draw_distances(analysis)
    matrix, stepwise = figure.axes[:2]
    assert matrix.images[0].get_array().shape == (3 * CYCLES, 3 * CYCLES)
    assert [t.get_text() for t in matrix.get_xticklabels()] == ["0", "10", "20", "29"]
    assert stepwise.get_yscale() == "log"
    few = draw_distances(members_alone).axes[0]
    assert [t.get_text() for t in few.get_xticklabels()] == ["6", "16", "26", "29"]


def test_figures_do_not_need_members(tmp_path):
    found = analyse_trajectory(make_run(tmp_path / "run", epochs=6).path)
    for draw in FIGURES.values():
        draw(found).savefig(io.BytesIO())


# Files


@pytest.mark.usefixtures("blank_figures")
def test_all_files_lie_in_one_folder(analysis, tmp_path):
    report = tmp_path / "new folder" / "report"
    page = write_trajectory(analysis, report)
    names = {"trajectory.html", "trajectory.csv", "distances.csv", *FIGURES}
    assert {file.name for file in report.iterdir()} == names
    assert page == report / "trajectory.html"
    written = page_at(page)
    assert written.outside == []
    assert len(written.pictures) == 2
    row = written.row(LAST)
    assert row[:4] == ["144", "17.6", "0.100 0.57 %", "9.10 52 %"]
    assert row[6:] == ["80.0", "0.983"]
    assert report.joinpath("trajectory.csv").read_text(encoding="utf-8") == trajectory_csv(analysis)
    check_trajectory_report(report)
    (report / "distances.csv").write_text("from,to,km")
    with pytest.raises(AppError, check=says_only(file="distances.csv", folder=report)):
        check_trajectory_report(report)


@pytest.mark.usefixtures("blank_figures")
def test_page_shows_what_there_is(members_alone, tmp_path):
    page = page_at(write_trajectory(members_alone, tmp_path))
    assert page.classes >= {"half-precision", "no-control"}


@pytest.mark.usefixtures("blank_figures")
def test_an_unwritable_folder_is_refused(analysis, tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "report"):
        with pytest.raises(AppError) as caught:
            check_writable(folder)
        assert caught.value.values["folder"] == tmp_path / "file"
        assert caught.value.remedies == (Remedy(Action.OTHER_OUTPUT),)
        with pytest.raises(AppError, check=says(folder=folder)):
            write_trajectory(analysis, folder)
