"""An ensemble that another computer asks: the image goes there, and what it says comes back."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ...core.types import Mirroring, Spacing
from ...io.ensemble.ensemble_folder import find_ensemble
from ...io.ensemble.fingerprint import fingerprint
from ..segmentation.settings import SegmentationSettings
from .actor import BUILT_IN, BUILT_IN_FOLDER, EnsembleReference
from .connection import RemoteConnection, never
from .device import RemoteDevice
from .wire_format import PackedArray, RemoteSegmentation, RemoteSnapshot


class RemoteEnsemble:
    """Offers of `Ensemble` what a window needs, without torch: the other computer has it.

    ``folder`` is the ensemble on this computer, with the members refused that the other one
    refuses; there it must be the same. ``show_stage`` is told what takes a while. Raises
    DataError, ModelError or AppError with one sentence.
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
        found = find_ensemble(Path(folder))
        self._asked = EnsembleReference(_folder_there(Path(folder), device), fingerprint(found))
        with self._connected(never) as there:
            reasons: dict[int, str] = there.ask("load", self._asked)
        self.folder = found.with_refused({found.members[n].path: why for n, why in reasons.items()})

    def __del__(self) -> None:
        """The child loads another one in its place."""
        self.close()

    def close(self) -> None:
        """Let go of the connection; the next question opens another."""
        connection, self._connection = getattr(self, "_connection", None), None
        if connection is not None:
            connection.close()

    def phases_at_once(self, image: NDArray[Any], mirroring: Mirroring = "full") -> int:
        """How many phases of this size fill the device there when asked together."""
        with self._connected(never) as there:
            return int(there.ask("phases_at_once", self._asked, image.shape, mirroring))

    def find_phases(
        self, cine: NDArray[Any], spacing: Spacing, *, should_stop: Callable[[], bool] = never
    ) -> tuple[int, int]:
        """As `Ensemble.find_phases`: the whole cine goes there."""
        with self._connected(should_stop) as there:
            packed = PackedArray.of(cine)
            ed, es = there.ask(
                *("find_phases", self._asked, packed, spacing), should_stop=should_stop
            )
        return ed, es

    def phase_steps(
        self,
        images: Sequence[NDArray[Any]],
        spacing: Spacing,
        settings: SegmentationSettings,
        *,
        keep_members: bool = False,
        should_stop: Callable[[], bool] = never,
    ) -> Generator[dict[int, RemoteSnapshot], None, list[RemoteSegmentation]]:
        """Segment images as `Ensemble.phase_steps` does.

        Yields snapshots when there is something new to show, not after every member.
        """
        with self._connected(should_stop) as there:
            self._show_stage("Sending the image to the other computer")
            packed = [PackedArray.of(image) for image in images]
            begin = ("begin", self._asked, packed, spacing, settings, keep_members)
            there.ask(*begin, should_stop=should_stop)
            self._show_stage("Waiting for the first member")
            step = there.ask("advance", should_stop=should_stop)
            while isinstance(step, dict):
                sent = there.send("advance")
                yield {place: snapshot.unpacked() for place, snapshot in step.items()}
                step = there.answer(sent, should_stop)
        return [self._named(result) for result in step]

    def _named(self, result: RemoteSegmentation) -> RemoteSegmentation:
        """The result with the other computer in its report."""
        device = f"{result.content['device']} on {self._device.address}"
        return replace(result, content={**result.content, "device": device})

    @contextmanager
    def _connected(self, should_stop: Callable[[], bool]) -> Generator[RemoteConnection]:
        """The connection of before, if it still holds, or a new one; none after a failure."""
        if self._connection is not None and not self._connection.is_there():
            self.close()
        try:
            if self._connection is None:
                self._show_stage(f"Connecting to {self._device.address}")
                self._connection = RemoteConnection(self._device)
                self._connection.open(should_stop)
            yield self._connection
        except BaseException:  # a stop, too: what is done there ends with the connection
            self.close()
            raise


def _folder_there(folder: Path, device: RemoteDevice) -> str:
    if folder.expanduser().resolve() == BUILT_IN_FOLDER.resolve():
        return BUILT_IN
    return device.folder or str(folder)
