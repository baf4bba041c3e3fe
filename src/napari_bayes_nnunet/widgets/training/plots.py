"""Plots of learning rate, losses and pseudo Dice over the epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QLabel, QWidget

from ...core.ensemble.schedule import MemberSelection, RestartSchedule
from ...core.heart.structures import structure_colors
from ...io.ensemble.run_folder import EpochReport
from ..common.dock import column_layout
from ..common.plotting import EPOCH_AXIS, MEMBER_COLOR, MORE, EpochPlot, Legend, pen, pg, readable
from .schedule_plot import SchedulePlot

TRAINING, VALIDATION = "training", "validation"
LOSS_COLORS = {TRAINING: "#3A9BDC", VALIDATION: "#E08214"}
_HEIGHT = 120
RATE_HELP = (
    "Learning rate of Eq. 4, past and planned. The weights of the epochs with a dot are members of "
    "the ensemble."
)
LOSS_HELP = (
    "Loss on the training and the validation cases. Lower is better. It jumps at every restart of "
    "the learning rate."
)
_DICE_HELP = (
    "Overlap with the reference, 0 to 1, estimated on random parts of the validation cases. Whole "
    "cases are measured after training."
)


Curves = Mapping[str, NDArray[np.float64]]
"""Name → (epochs,) values from epoch 0, NaN if missing."""


def make_curves(values: Mapping[int, Mapping[str, float | None]]) -> Curves:
    """Return the curves of the values of epochs."""
    names = dict.fromkeys(name for of_epoch in values.values() for name in of_epoch)
    curves = {name: np.full(max(values, default=-1) + 1, np.nan) for name in names}
    for epoch, of_epoch in values.items():
        for name, value in of_epoch.items():
            curves[name][epoch] = np.nan if value is None else value
    return curves


class HistoryPlot(EpochPlot):
    """A plot with a line for every curve and a dot at its latest value."""

    def __init__(self, *, left: str, bottom: str = "", height: int = _HEIGHT) -> None:
        super().__init__(left=left, bottom=bottom, height=height)
        self._curves: Curves = {}
        self._lines: dict[str, tuple[pg.PlotCurveItem, pg.ScatterPlotItem]] = {}
        self._colors: dict[str, str] = {}

    def draw(self, curves: Curves, colors: Mapping[str, str]) -> None:
        """Show the curves, each name in its colour."""
        self._curves, self._colors = curves, dict(colors)
        for name in [name for name in self._lines if name not in curves]:
            for item in self._lines.pop(name):
                self.removeItem(item)
        for name, values in curves.items():
            line, latest = self._line(name, colors[name])
            # Missing values leave a gap in the line.
            line.setData(np.arange(values.size), values, connect="finite")
            last = np.flatnonzero(np.isfinite(values))[-1:]
            latest.setData(x=last, y=values[last])

    def recolor(self, foreground: QColor) -> None:
        """Draw the lines in colours that are readable next to texts in this one."""
        super().recolor(foreground)
        for name in self._lines:
            self._recolor(name)

    def line(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the epochs and values that are drawn."""
        x, y = self._lines[name][0].getData()
        return x, y

    def reading(self, epoch: int) -> str:
        """Return the values of ``epoch`` as text, "" outside the curves."""
        known = {n: v[epoch] for n, v in self._curves.items() if 0 <= epoch < v.size}
        parts = [f"{name} {value:.3f}" for name, value in known.items() if np.isfinite(value)]
        return f"Epoch {epoch}: {', '.join(parts)}" if parts else ""

    def _line(self, name: str, color: str) -> tuple[pg.PlotCurveItem, pg.ScatterPlotItem]:
        if name not in self._lines:
            line = pg.PlotCurveItem(pen=pen(color), antialias=True)
            latest = pg.ScatterPlotItem(size=5, brush=color, pen=None)
            self._lines[name] = line, latest
            self._recolor(name)
            for item in (line, latest):
                self.addItem(item)
        return self._lines[name]

    def _recolor(self, name: str) -> None:
        if self._foreground is not None:
            color = readable(self._colors[name], self._foreground)
            line, latest = self._lines[name]
            line.setPen(pen(color))
            latest.setBrush(color)


class TrainingPlots(QWidget):
    """Three stacked plots over the same epochs, each with its legend.

    Of several folds, the one that reported last is shown.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rate_plot = SchedulePlot(bottom="", height=_HEIGHT)
        self.loss_plot = HistoryPlot(left="loss")
        self.dice_plot = HistoryPlot(left="pseudo Dice", bottom=EPOCH_AXIS, height=_HEIGHT + 20)
        self.dice_legend = Legend("Pseudo Dice")
        self._lay_out()
        # Fixed, so that a curve that hardly rises looks flat.
        self.dice_plot.setYRange(0, 1, padding=0.03)
        for plot in (self.loss_plot, self.dice_plot):
            # Epochs that are enlarged in one plot are so in all.
            plot.setXLink(self.rate_plot)

    def set_schedule(self, schedule: RestartSchedule, selection: MemberSelection) -> None:
        """Show the planned learning rates; the done epochs stay."""
        self.rate_plot.set_schedule(schedule, selection)

    def set_reports(self, reports: Sequence[EpochReport]) -> None:
        """Replace the shown epochs by these."""
        shown = {r.epoch: r for r in reports if r.fold == reports[-1].fold}
        losses = make_curves(
            {t: {TRAINING: r.train_loss, VALIDATION: r.val_loss} for t, r in shown.items()}
        )
        dices = make_curves({t: r.pseudo_dice for t, r in shown.items()})
        colors = colors_of([*dices])
        kept = [epoch for epoch, report in shown.items() if report.member]
        self.rate_plot.set_done(max(shown, default=-1) + 1, kept=kept)
        self.loss_plot.draw(losses, LOSS_COLORS)
        self.dice_plot.draw(dices, colors)
        self.dice_legend.set_colors(colors)

    def _lay_out(self) -> None:
        kept = f'<span style="color:{MEMBER_COLOR}">●</span> member kept'
        planned = f'<span style="color:{MEMBER_COLOR}">○</span> planned'
        rate_legend = QLabel(f"Learning rate {MORE} &nbsp; {kept} &nbsp; {planned}")
        loss_legend = Legend("Loss")
        loss_legend.set_colors(LOSS_COLORS)
        column = column_layout(self)
        column.setSpacing(2)
        for label, plot, text in (
            (rate_legend, self.rate_plot, RATE_HELP),
            (loss_legend, self.loss_plot, LOSS_HELP),
            (self.dice_legend, self.dice_plot, _DICE_HELP),
        ):
            label.setWordWrap(True)
            label.setToolTip(text)
            column.addWidget(label)
            column.addWidget(plot)


def colors_of(structures: Sequence[str]) -> dict[str, str]:
    """Return structure → "#RRGGBB", for structures in the order of their labels."""
    colors = structure_colors({name: label for label, name in enumerate(structures, start=1)})
    return dict(zip(structures, colors.values(), strict=True))
