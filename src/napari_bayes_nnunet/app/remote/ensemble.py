"""Ensemble that segments on another computer, to which the image is sent."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ...core.choices import LargestComponent, Mirroring
from ...core.types import Spacing
from ...io.ensemble.ensemble_folder import find_ensemble
from ...io.ensemble.fingerprint import fingerprint
from ...io.files.given_path import expand_home, is_same_path
from ..segmentation.result import FirstLook
from ..segmentation.settings import SegmentationSettings
from .actor import BUILT_IN, BUILT_IN_FOLDER, EnsembleReference
from .connection import RemoteConnection, never_stop
from .device import RemoteDevice
from .wire_format import PackedArray, RemoteSegmentation, RemoteSnapshot


class RemoteEnsemble:
    """The methods of `Ensemble` that the window needs, computed elsewhere and without torch here.

    ``folder`` is the ensemble on this computer, which must be the same on the other one; its
    members that the other computer refuses are marked as refused. ``show_stage`` is called with a
    text before long steps. Raises DataError, ModelError or AppError.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        device: RemoteDevice,
        show_stage: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._device = device
        self._show_stage = show_stage
        self._connection: RemoteConnection | None = None
        local = find_ensemble(Path(folder))
        self._reference = EnsembleReference(
            _remote_folder(Path(folder), device), fingerprint(local)
        )
        with self._connected(never_stop) as connection:
            reasons: dict[int, str] = connection.call("load", self._reference)
        refused = {local.members[index].path: reason for index, reason in reasons.items()}
        self.folder = local.with_refused(refused)

    def __del__(self) -> None:
        """Close the connection when the child loads another ensemble."""
        self.close()

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        connection, self._connection = getattr(self, "_connection", None), None
        if connection is not None:
            connection.close()

    def phases_at_once(self, image: NDArray[Any], mirroring: Mirroring = "full") -> int:
        """Return how many phases of this size fill the other computer's device together."""
        with self._connected(never_stop) as connection:
            count = connection.call("phases_at_once", self._reference, image.shape, mirroring)
            return int(count)

    def find_phases(
        self,
        cine: NDArray[Any],
        spacing: Spacing,
        *,
        largest_component: LargestComponent = "auto",
        should_stop: Callable[[], bool] = never_stop,
        on_look: Callable[[int, FirstLook], None] = lambda phase, look: None,
    ) -> tuple[int, int]:
        """Return ED and ES as `Ensemble.find_phases` does; the whole cine is sent."""
        with self._connected(should_stop) as connection:
            call = ("find_phases", self._reference, PackedArray.pack(cine), spacing)
            (ed, es), looks = connection.call(*call, largest_component, should_stop=should_stop)
        for phase, look in looks.items():
            on_look(phase, look.unpack())
        return ed, es

    def first_looks(
        self,
        cine: NDArray[Any],
        spacing: Spacing,
        *,
        largest_component: LargestComponent = "auto",
        should_stop: Callable[[], bool] = never_stop,
    ) -> Iterator[FirstLook]:
        """Yield the looks of `Ensemble.first_looks`, all at once; the whole cine is sent."""
        with self._connected(should_stop) as connection:
            call = ("first_looks", self._reference, PackedArray.pack(cine), spacing)
            looks = connection.call(*call, largest_component, should_stop=should_stop)
        for look in looks:
            yield look.unpack()

    def phase_steps(
        self,
        images: Sequence[NDArray[Any]],
        spacing: Spacing,
        settings: SegmentationSettings,
        *,
        keep_members: bool = False,
        doubt: str | None = None,
        should_stop: Callable[[], bool] = never_stop,
    ) -> Generator[dict[int, RemoteSnapshot], None, list[RemoteSegmentation]]:
        """Segment images as `Ensemble.phase_steps` does.

        Yields only the snapshots that `SnapshotThrottle` selects, not one after every member.
        """
        with self._connected(should_stop) as connection:
            self._show_stage("Sending the image to the other computer")
            packed = [PackedArray.pack(image) for image in images]
            options = {"keep_members": keep_members, "doubt": doubt}
            begin = ("begin", self._reference, packed, spacing, settings, options)
            connection.call(*begin, should_stop=should_stop)
            self._show_stage("Waiting for the first member")
            step = connection.call("advance", should_stop=should_stop)
            while isinstance(step, dict):
                sent = connection.send("advance")
                yield {index: snapshot.unpack() for index, snapshot in step.items()}
                step = connection.wait_for(sent, should_stop)
        return [self._with_address(result) for result in step]

    def _with_address(self, result: RemoteSegmentation) -> RemoteSegmentation:
        """Return the result with the other computer's address in its report."""
        device = f"{result.content['device']} on {self._device.address}"
        return replace(result, content={**result.content, "device": device})

    @contextmanager
    def _connected(self, should_stop: Callable[[], bool]) -> Generator[RemoteConnection]:
        """Give the open connection to the block, or a new one; close it after a failure."""
        if self._connection is not None and not self._connection.is_alive():
            self.close()
        try:
            if self._connection is None:
                self._show_stage(f"Connecting to {self._device.address}")
                self._connection = RemoteConnection(self._device)
                self._connection.open(should_stop)
            yield self._connection
        except BaseException:  # also Stopped, because closing the connection stops the run
            self.close()
            raise


def _remote_folder(folder: Path, device: RemoteDevice) -> str:
    if is_same_path(expand_home(folder), BUILT_IN_FOLDER):
        return BUILT_IN
    return device.folder or str(folder)
