"""The curves of a training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from time import thread_time
from typing import Any

import numpy as np
import pytest
from qtpy.QtGui import QColor, QPalette
from qtpy.QtWidgets import QApplication

from napari_bayes_nnunet.core.ensemble.schedule import MemberSelection, RestartSchedule
from napari_bayes_nnunet.core.heart.structures import CARDIAC
from napari_bayes_nnunet.io.ensemble.run_folder import EpochReport
from napari_bayes_nnunet.widgets.common.plotting import readable
from napari_bayes_nnunet.widgets.training.plots import (
    TRAINING,
    VALIDATION,
    TrainingPlots,
    colors_of,
    make_curves,
)

SCHEDULE = RestartSchedule(epochs=30, gamma=0.5)
SELECTION = MemberSelection(per_cycle=2, step=2)


def report(epoch: int, *, schedule: RestartSchedule = SCHEDULE, **changes: Any) -> EpochReport:
    learned = 1 - math.exp(-epoch / 10)
    given: dict[str, Any] = {
        "fold": "0",
        "epoch": epoch,
        "cycle": schedule.cycle(epoch),
        "learning_rate": schedule.learning_rate(epoch),
        "train_loss": -0.9 * learned,
        "val_loss": -0.8 * learned,
        "pseudo_dice": {"RV": 0.8 * learned, "MYO": 0.7 * learned, "LV": 0.9 * learned},
        "seconds": 1.0,
        "eta_seconds": 1.0,
        "member": SELECTION.keeps(schedule, epoch),
    }
    return EpochReport(**(given | changes))


def reports(epochs: Sequence[int], **changes: Any) -> list[EpochReport]:
    return [report(epoch, **changes) for epoch in epochs]


@pytest.fixture
def plots(qtbot: Any) -> TrainingPlots:
    made = TrainingPlots()
    qtbot.addWidget(made)
    made.resize(340, 460)
    made.set_schedule(SCHEDULE, SELECTION)
    return made


def points(item: Any) -> list[int]:
    return [int(x) for x in item.getData()[0]]


def test_reported_values_are_drawn(plots: TrainingPlots) -> None:
    plots.set_reports(reports(range(18)))
    epochs, losses = plots.loss_plot.line(TRAINING)
    assert epochs.tolist() == list(range(18))
    assert losses.tolist() == [report(t).train_loss for t in range(18)]
    assert plots.loss_plot.line(VALIDATION)[1][-1] == report(17).val_loss
    assert plots.dice_plot.line("LV")[1][-1] == report(17).pseudo_dice["LV"]
    assert points(plots.rate_plot._past) == list(range(18))
    assert points(plots.rate_plot._filled) == [7, 9, 17]
    assert points(plots.rate_plot._hollow) == [19, 27, 29]
    plots.set_reports([])  # another run
    assert points(plots.rate_plot._filled) == []
    scar = {"pseudo_dice": {"scar": 0.5}}
    plots.set_reports([*reports(range(9), **scar), report(9, member=False, **scar)])
    assert points(plots.rate_plot._filled) == [7]
    assert list(plots.dice_plot._lines) == ["scar"]


def test_the_latest_fold_is_shown(plots: TrainingPlots) -> None:
    plots.set_reports([*reports(range(10)), report(8, train_loss=3.0)])  # again
    epochs, losses = plots.loss_plot.line(TRAINING)
    assert epochs.size == 10
    assert losses[8] == 3.0
    assert points(plots.loss_plot._lines[TRAINING][1]) == [9]
    plots.set_reports([*reports(range(10)), *reports(range(3), fold="1")])
    assert plots.loss_plot.line(TRAINING)[0].size == 3


def test_missing_values_are_gaps(plots: TrainingPlots) -> None:
    missing = report(1, val_loss=None, pseudo_dice={"RV": None, "MYO": 0.5, "LV": 0.5})
    plots.set_reports([report(0), missing, report(2)])
    assert np.isnan(plots.loss_plot.line(VALIDATION)[1]).tolist() == [False, True, False]
    assert np.isnan(plots.dice_plot.line("RV")[1]).tolist() == [False, True, False]
    assert plots.loss_plot.reading(1) == f"Epoch 1: training {report(1).train_loss:.3f}"
    plots.show()
    plots.grab()
    plots.set_reports(reports(range(6), fold="all", val_loss=None, pseudo_dice={}))
    plots.grab()
    assert plots.loss_plot.line(TRAINING)[0].size == 6
    assert list(plots.dice_plot._lines) == []
    assert points(plots.loss_plot._lines[VALIDATION][1]) == []


def test_added_cycle_is_planned_after_done_epochs(plots: TrainingPlots) -> None:
    plots.set_reports(reports(range(30)))
    plots.set_schedule(RestartSchedule(epochs=30, gamma=0.5, added_cycles=1), SELECTION)
    assert points(plots.rate_plot._hollow) == [37, 39]
    plots.set_reports(reports(range(31)))
    assert points(plots.rate_plot._past)[-1] == 30
    assert plots.loss_plot.line(TRAINING)[0].size == 31


def test_structures_have_their_colours_and_a_legend(plots: TrainingPlots) -> None:
    plots.set_reports([report(0)])
    assert colors_of(["RV", "MYO", "LV"]) == {name: CARDIAC[name] for name in CARDIAC}
    legend = plots.dice_legend.text()
    foreground = plots.palette().color(QPalette.ColorRole.WindowText)
    for name, color in CARDIAC.items():
        assert name in legend
        assert readable(color, foreground).name() in legend
    plots.set_reports([report(0, pseudo_dice={"a<b": 0.5})])
    assert "a&lt;b" in plots.dice_legend.text()


def test_lines_are_readable_on_a_light_window(plots: TrainingPlots) -> None:
    plots.set_reports([report(0)])
    plots.show()
    for text, is_dark in (("#FFFFFF", True), ("#202020", False)):
        palette = plots.palette()
        palette.setColor(QPalette.ColorRole.WindowText, QColor(text))
        plots.setPalette(palette)
        QApplication.processEvents()
        line = plots.dice_plot._lines["LV"][0].opts["pen"].color().name()
        assert (line == CARDIAC["LV"].lower()) == is_dark
        assert line in plots.dice_legend.text()


def test_plots_share_the_axis_of_epochs(plots: TrainingPlots) -> None:
    plots.show()
    QApplication.processEvents()
    shown = [p.viewRange()[0] for p in (plots.rate_plot, plots.loss_plot, plots.dice_plot)]
    assert shown[0] == pytest.approx(shown[1])
    assert shown[0] == pytest.approx(shown[2])
    assert shown[0][0] <= 0
    assert shown[0][1] >= 29
    lefts = {p.getViewBox().sceneBoundingRect().left() for p in (plots.rate_plot, plots.dice_plot)}
    assert len(lefts) == 1


def test_reading_has_the_values_of_an_epoch(plots: TrainingPlots) -> None:
    assert plots.dice_plot.reading(0) == ""
    plots.set_reports(reports(range(3)))
    parts = plots.dice_plot.reading(2).split(": ")[1].split(", ")
    assert parts == ["RV 0.145", "MYO 0.127", "LV 0.163"]
    assert plots.dice_plot.reading(3) == plots.dice_plot.reading(-1) == ""


def test_plots_stay_fluent_at_1200_epochs(qtbot: Any) -> None:
    paper = RestartSchedule()
    plots = TrainingPlots()
    qtbot.addWidget(plots)
    plots.resize(340, 460)
    plots.set_schedule(paper, MemberSelection())
    plots.set_reports(reports(range(1180), schedule=paper))
    plots.show()
    QApplication.processEvents()
    viewports = [p.viewport() for p in (plots.rate_plot, plots.loss_plot, plots.dice_plot)]
    times = []
    for epoch in range(1180, 1200):
        started = thread_time()
        plots.set_reports(reports(range(epoch + 1), schedule=paper))
        for viewport in viewports:
            viewport.repaint()
        times.append(thread_time() - started)
    print(f"\nset_reports with repaint: median {1000 * median(times):.1f} ms")
    assert median(times) < 0.1


def test_missing_epochs_and_values_are_gaps() -> None:
    curves = make_curves({0: {"a": 0.0}, 2: {"a": None, "late": 1.0}, 4: {"a": 9.0}})
    np.testing.assert_array_equal(curves["a"], [0, np.nan, np.nan, np.nan, 9])
    np.testing.assert_array_equal(curves["late"], [np.nan, np.nan, 1, np.nan, np.nan])
    assert make_curves({}) == {}
