"""The curve of the learning rate (Eq. 4), with a dot for every member."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtGui import QColor

from ...core.ensemble.schedule import MemberSelection, RestartSchedule
from ..common.plotting import EPOCH_AXIS, MEMBER_COLOR, EpochPlot, faint, pen, pg

_HEIGHT = 150
_HEADROOM = 1.25
"""End of the axis as a multiple of the highest rate, restarts excluded."""
_DOT = 6
GREYED = 0.35


@dataclass(frozen=True)
class ScheduleCurve:
    """The curve of a schedule.

    ``rates`` (all epochs,) float64; ``members`` and ``restarts`` are epochs, from 0; ``borders``
    are the first epochs of all cycles but the first.
    """

    rates: NDArray[np.float64]
    members: NDArray[np.int64]
    restarts: NDArray[np.int64]
    borders: NDArray[np.int64]

    @property
    def top(self) -> float:
        """End of the axis. It leaves out high restarts, which would flatten the rest."""
        others = np.delete(self.rates, self.restarts)
        top = _HEADROOM * float(others.max()) if others.size else 0.0
        # Restarts that are not much higher than the other rates stay in sight.
        highest = float(self.rates.max())
        return top if 0 < _HEADROOM * top < highest else _HEADROOM * highest

    @property
    def is_cut(self) -> bool:
        """Whether the restarts go beyond the axis."""
        return bool(self.rates.max() > self.top)


def make_schedule_curve(schedule: RestartSchedule, selection: MemberSelection) -> ScheduleCurve:
    """Return the curve of ``schedule`` with the members of ``selection``."""
    epochs = range(schedule.all_epochs)
    starts = np.arange(schedule.all_cycles, dtype=np.int64) * schedule.cycle_length
    return ScheduleCurve(
        rates=np.fromiter(map(schedule.learning_rate, epochs), float, len(epochs)),
        members=np.fromiter(selection.epochs(schedule), np.int64),
        restarts=starts if schedule.restart_first_cycle else starts[1:],
        borders=starts[1:],
    )


class SchedulePlot(EpochPlot):
    """A plot of the learning rate of every epoch.

    The done part is solid. Restarts that would flatten the curve are cut off and marked.
    ``curve`` is the drawn one; if greyed, that of the last valid schedule.
    """

    def __init__(self, *, bottom: str = EPOCH_AXIS, height: int = _HEIGHT) -> None:
        self.curve: ScheduleCurve | None = None
        self._done = 0
        self._kept: NDArray[np.int64] | None = None
        self._borders = pg.PlotCurveItem(connect="pairs")
        self._planned = pg.PlotCurveItem(antialias=True)
        self._past = pg.PlotCurveItem(antialias=True)
        self._hollow = pg.ScatterPlotItem(size=_DOT, brush=None, pen=pen(MEMBER_COLOR, width=1))
        self._filled = pg.ScatterPlotItem(size=_DOT, brush=MEMBER_COLOR, pen=None)
        self._cut = pg.ScatterPlotItem(size=9, symbol="t1", pen=None)
        self._restart = pg.TextItem(anchor=(0, 0.5))
        super().__init__(left="learning rate", bottom=bottom, height=height)
        for item in self._items:
            self.addItem(item, ignoreBounds=True)
        self._restart.hide()

    def set_schedule(
        self, schedule: RestartSchedule | None, selection: MemberSelection | None = None
    ) -> None:
        """Draw ``schedule`` with its members; None greys the last curve."""
        for item in self._items:
            item.setOpacity(GREYED if schedule is None else 1)
        if schedule is not None:
            self.curve = make_schedule_curve(schedule, selection or MemberSelection())
            self._draw_frame(self.curve)
            self._draw(self.curve)

    def set_done(self, epochs: int, *, kept: Iterable[int] | None = None) -> None:
        """Draw the first ``epochs`` epochs solid and the others dashed.

        ``kept`` are the epochs of the existing members, by default all planned ones.
        """
        self._done = epochs
        self._kept = None if kept is None else np.fromiter(kept, np.int64)
        if self.curve is not None:
            self._draw(self.curve)

    def reading(self, epoch: int) -> str:
        """Return the rate of ``epoch``, and whether it is a restart or a member, as text."""
        curve = self.curve
        if curve is None or not 0 <= epoch < curve.rates.size:
            return ""
        restart = ", restart" if epoch in curve.restarts else ""
        member = ", member" if epoch in np.concatenate(self._members(curve)) else ""
        return f"Epoch {epoch}: rate {curve.rates[epoch]:.3g}{restart}{member}"

    def recolor(self, foreground: QColor) -> None:
        """Draw the curve in the text colour."""
        super().recolor(foreground)
        self._borders.setPen(pen(faint(foreground), width=1))
        self._past.setPen(pen(foreground))
        self._cut.setBrush(foreground)
        self._restart.setColor(foreground)
        self._recolor_planned()

    @property
    def _items(self) -> tuple[Any, ...]:
        return (
            self._borders, self._planned, self._past, self._hollow, self._filled, self._cut,
            self._restart,
        )  # fmt: skip

    def _members(self, curve: ScheduleCurve) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the epochs of the existing and of the planned members."""
        past = curve.members[curve.members < self._done] if self._kept is None else self._kept
        return past[past < curve.rates.size], curve.members[curve.members >= self._done]

    def _recolor_planned(self) -> None:
        if self._foreground is not None:
            self._planned.setPen(pen(self._foreground, dashed=self._done > 0))

    def _draw_frame(self, curve: ScheduleCurve) -> None:
        """Draw axes, borders and restarts, which stay the same during a training."""
        self.show_epochs(curve.rates.size)
        self.setYRange(0, curve.top, padding=0)
        # A cycle begins between two epochs, and a line needs two points.
        borders = np.repeat(curve.borders - 0.5, 2)
        self._borders.setData(borders, np.tile([0.0, curve.top], curve.borders.size))
        cut = curve.restarts if curve.is_cut else curve.restarts[:0]
        self._cut.setData(x=cut, y=np.full(cut.size, 0.96 * curve.top))
        self._restart.setVisible(cut.size > 0)
        if cut.size:
            self._restart.setText(f"{curve.rates[cut[0]]:g}")
            self._restart.setPos(cut[0] + 0.01 * curve.rates.size, 0.94 * curve.top)

    def _draw(self, curve: ScheduleCurve) -> None:
        epochs = np.arange(curve.rates.size)
        # A dot beyond the axis would not be seen.
        heights = np.minimum(curve.rates, curve.top)
        done = min(self._done, epochs.size)
        start = max(done - 1, 0)  # the two parts meet
        self._past.setData(epochs[:done], heights[:done])
        self._planned.setData(epochs[start:], heights[start:])
        self._recolor_planned()
        kept, planned = self._members(curve)
        self._filled.setData(x=kept, y=heights[kept])
        self._hollow.setData(x=planned, y=heights[planned])
