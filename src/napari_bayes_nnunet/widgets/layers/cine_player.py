"""Cine playback at the acquired frame rate, with image and contours in step."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from napari.layers import Image
from qtpy.QtCore import QObject, Qt, Signal

from ..common.background import single_shot
from .metadata import layer_geometry, layer_voxels
from .viewing import current_phase

BEAT = 1000.0
"""Assumed duration of a heart beat if the frame time is unknown, ms."""
FRAME_TIMES = 5.0, 500.0
"""Shortest and longest plausible time between phases, ms.

A header in which nobody set it gives 1 s (SimpleITK and ITK) or 1 ms.
"""
MS = "millisecond"
ACQUIRED_RATE = "{rate:.0f} phases per second, as acquired"
UNKNOWN_RATE = (
    "{rate:.0f} phases per second: one beat per second, because the file gives no plausible frame "
    "time"
)


class CinePlayer(QObject):
    """Player for the phases of one image, in the displayed slice.

    The clock determines the phase: if drawing is slow, phases are skipped and the heart rate
    stays the same. `stop` returns to the phase at which playback began, which is the one that the
    reader was looking at. If the user changes the phase, playback begins again from there.
    ``stepped`` is emitted when it has shown a phase.
    """

    playing_changed = Signal(bool)
    stepped = Signal()

    def __init__(self, viewer: Any, layer: Image, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layer = layer
        self._frame_time = layer_frame_time(layer) or BEAT / self.count
        self._first = 0
        self._started = 0.0
        self._expected = 0
        self._timer = single_shot(self, self._on_timeout)
        # Qt's usual timers may be a twentieth late.
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        viewer.layers.events.removed.connect(self._on_removed)

    @property
    def is_playing(self) -> bool:
        """Whether the cine is playing."""
        return bool(self._timer.isActive())

    @property
    def count(self) -> int:
        """Number of phases, 1 for a volume."""
        return int(layer_voxels(self._layer).shape[0]) if self._layer.ndim == 4 else 1

    @property
    def rate(self) -> str:
        """Playback rate in words; "" if there is nothing to play."""
        if self.count < 2:
            return ""
        wording = UNKNOWN_RATE if layer_frame_time(self._layer) is None else ACQUIRED_RATE
        return wording.format(rate=BEAT / self._frame_time)

    def start(self) -> None:
        """Play from the displayed phase; do nothing for a 3D image."""
        if self.is_playing or self.count < 2 or self._is_time_displayed():
            return
        self._begin_at(self._displayed_phase())
        self._timer.start(self._time_to_next())
        self.playing_changed.emit(True)

    def stop(self) -> None:
        """Stop, and show the phase at which playback began."""
        if self.is_playing:
            self._timer.stop()
            if not self._is_time_displayed():
                self._display(self._first)
            self.playing_changed.emit(False)

    def pause(self) -> None:
        """Stop at the displayed phase."""
        if self.is_playing:
            self._timer.stop()
            self.playing_changed.emit(False)

    def toggle(self) -> None:
        """Start or stop."""
        if self.is_playing:
            self.stop()
        else:
            self.start()

    def close(self) -> None:
        """Stop and disconnect from the viewer."""
        self.pause()
        self._viewer.layers.events.removed.disconnect(self._on_removed)

    def _on_timeout(self) -> None:
        """Show the phase that is due. The timer is inactive during this call."""
        if self._is_time_displayed():
            self.playing_changed.emit(False)
            return
        displayed = self._displayed_phase()
        if displayed != self._expected:
            self._begin_at(displayed)
        phase = (self._first + int(self._elapsed() / self._frame_time)) % self.count
        self._expected = phase
        # Started before the phase is shown, so that a listener of the viewer can stop it.
        self._timer.start(self._time_to_next())
        if phase != displayed:
            self._display(phase)

    def _begin_at(self, phase: int) -> None:
        self._first = self._expected = phase
        self._started = perf_counter()

    def _elapsed(self) -> float:
        """Return the time since playback started, ms."""
        # Rounding of the clock must not delay a phase.
        return (perf_counter() - self._started) * 1000 + 1e-3

    def _time_to_next(self) -> int:
        """Return the time until the next phase begins, ms."""
        # After 0 ms the next phase would begin before this one is drawn.
        return max(1, round(self._frame_time - self._elapsed() % self._frame_time))

    def _displayed_phase(self) -> int:
        return current_phase(self._viewer, self._layer) - 1

    def _display(self, phase: int) -> None:
        world = self._layer.data_to_world([phase, *[0] * (self._layer.ndim - 1)])
        self._viewer.dims.set_point(self._time_axis(), float(world[0]))
        self.stepped.emit()

    def _time_axis(self) -> int:
        """Return the time axis in the viewer, which may hold layers with more axes."""
        return int(self._viewer.dims.ndim - self._layer.ndim)

    def _is_time_displayed(self) -> bool:
        return self._time_axis() in self._viewer.dims.displayed

    def _on_removed(self, event: Any) -> None:
        if event.value is self._layer:
            self.pause()


def layer_frame_time(layer: Image) -> float | None:
    """Return the time between phases, ms, from the file or the layer's scale.

    None if it is unknown or implausible.
    """
    if layer.ndim != 4:
        return None
    geometry = layer_geometry(layer)
    step = _scale_in_ms(layer) if geometry is None else geometry.frame_time
    shortest, longest = FRAME_TIMES
    return step if step is not None and shortest <= step <= longest else None


def _scale_in_ms(layer: Image) -> float | None:
    step, unit = abs(float(layer.scale[0])), layer.units[0]
    return float((step * unit).to(MS).magnitude) if unit.is_compatible_with(MS) else None
