"""Cine playback at the rate the pictures were acquired; contours are layers and follow."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

from napari.layers import Image
from qtpy.QtCore import QObject, Qt, QTimer, Signal

from .metadata import layer_geometry, layer_voxels
from .viewing import current_phase

BEAT = 1000.0
"""A heart beat where the file does not say how long the phases take, ms."""
MS = "millisecond"


class CinePlayer(QObject):
    """Plays the phases of one image, in the slice shown; nothing else moves.

    The phase is found by the clock: where drawing is slow, pictures are left out and the heart
    keeps its rate. A phase the user goes to meanwhile is where it goes on from.
    """

    playing_changed = Signal(bool)

    def __init__(
        self,
        viewer: Any,
        parent: QObject | None = None,
        *,
        now: Callable[[], float] = perf_counter,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._now = now
        self._layer: Image | None = None
        self._frame_time = BEAT
        self._first = 0
        self._started = 0.0
        self._expected = 0
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._on_timeout)
        viewer.layers.events.removed.connect(self._on_removed)

    @property
    def is_playing(self) -> bool:
        """Whether the heart beats."""
        return bool(self._timer.isActive())

    @property
    def count(self) -> int:
        """Number of phases, 1 for a volume, 0 without an image."""
        if self._layer is None:
            return 0
        return int(layer_voxels(self._layer).shape[0]) if self._layer.ndim == 4 else 1

    @property
    def rate(self) -> str:
        """How fast it plays, in words; empty where there is nothing to play."""
        if self.count < 2:
            return ""
        pictures = f"{BEAT / self._frame_time:.0f} pictures a second"
        if frame_time_of(self._layer) is None:
            return f"{pictures}: the file does not say how fast, so a beat takes a second"
        return f"{pictures}, as acquired"

    def set_layer(self, layer: Image | None) -> None:
        """The cine to play from now on; what played before stops."""
        self.stop()
        self._layer = layer
        self._frame_time = frame_time_of(layer) or BEAT / max(self.count, 1)

    def start(self) -> None:
        """Play from the phase shown; a volume has nothing to play."""
        if self.is_playing or self.count < 2 or self._is_time_displayed():
            return
        self._go_on_from(self._shown())
        self._timer.start(self._until_next())
        self.playing_changed.emit(True)

    def stop(self) -> None:
        """Stay at the phase shown."""
        if self.is_playing:
            self._timer.stop()
            self.playing_changed.emit(False)

    def toggle(self) -> None:
        """Start or stop."""
        (self.stop if self.is_playing else self.start)()

    def close(self) -> None:
        """Stop and let go of the viewer."""
        self.set_layer(None)
        self._viewer.layers.events.removed.disconnect(self._on_removed)

    def _on_timeout(self) -> None:
        """Show the phase it is time for. The timer is not active in here."""
        if self._is_time_displayed():
            self.playing_changed.emit(False)
            return
        shown = self._shown()
        if shown != self._expected:
            self._go_on_from(shown)
        phase = (self._first + int(self._elapsed() / self._frame_time)) % self.count
        self._expected = phase
        # First, so that what listens to the viewer can stop it.
        self._timer.start(self._until_next())
        if phase != shown:
            self._show(phase)

    def _go_on_from(self, phase: int) -> None:
        self._first = self._expected = phase
        self._started = self._now()

    def _elapsed(self) -> float:
        """Since it began to play, ms."""
        # The rounding of a clock must not keep a phase back.
        return (self._now() - self._started) * 1000 + 1e-3

    def _until_next(self) -> int:
        """How long until the next phase begins, ms."""
        return max(1, round(self._frame_time - self._elapsed() % self._frame_time))

    def _shown(self) -> int:
        assert self._layer is not None
        return current_phase(self._viewer, self._layer) - 1

    def _show(self, phase: int) -> None:
        assert self._layer is not None
        world = self._layer.data_to_world([phase, *[0] * (self._layer.ndim - 1)])
        self._viewer.dims.set_point(self._axis(), float(world[0]))

    def _axis(self) -> int:
        """Of time in the viewer, which may hold layers with more axes."""
        assert self._layer is not None
        return int(self._viewer.dims.ndim - self._layer.ndim)

    def _is_time_displayed(self) -> bool:
        return self._axis() in self._viewer.dims.displayed

    def _on_removed(self, event: Any) -> None:
        if event.value is self._layer:
            self.set_layer(None)


def frame_time_of(layer: Image | None) -> float | None:
    """Time between two phases, ms, from the file or the layer's own scale; None if not known."""
    if layer is None or layer.ndim != 4:
        return None
    geometry = layer_geometry(layer)
    if geometry is not None:
        return geometry.frame_time
    step = abs(float(layer.scale[0]))
    if step == 0 or not layer.units[0].is_compatible_with(MS):
        return None
    return float((step * layer.units[0]).to(MS).magnitude)
