"""The inference child process, which keeps an ensemble loaded and segments images for the window.

It runs `python -m napari_bayes_nnunet.app.worker` with the path of a scratch folder. It reads one
request per line on standard input, writes one message per line on standard output, and ends when
its input is closed.
"""

from __future__ import annotations

import gc
import os
import queue
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeAlias

import numpy as np
import psutil
from numpy.typing import NDArray

from ..core.durations import TimeLeft
from ..core.problems import Problem, statement
from ..core.steps import drain
from ..io import DataError
from ..io.study.arrays import write_posterior
from ..nnunet import ModelError, Stopped
from . import AppError
from .devices import find_devices
from .messages import (
    FAILED,
    FINISHED,
    STOPPED,
    ChildReady,
    ConnectionTested,
    EnsembleLoaded,
    FirstLookReady,
    JobEnded,
    LoadEnsemble,
    Message,
    Notice,
    PhaseDone,
    PhasesFound,
    SegmentImage,
    SnapshotReady,
    StageStarted,
    StopJob,
    TestConnection,
    from_line,
    text_fields,
)
from .remote.device import RemoteDevice, is_remote
from .remote.wire_format import RemoteSegmentation, RemoteSnapshot
from .segmentation.ensemble import Ensemble
from .segmentation.image_check import Image, note_on_left_out, usable_phases
from .segmentation.member_predictions import PredictionCache
from .segmentation.result import (
    FEWEST_FOR_LOOKS,
    FirstLook,
    Segmentation,
    Snapshot,
    SnapshotThrottle,
    order_after,
    stored_posterior,
)

if TYPE_CHECKING:
    from .remote.ensemble import RemoteEnsemble

PhaseSteps: TypeAlias = Generator[
    Mapping[int, Snapshot | RemoteSnapshot], None, Sequence[Segmentation | RemoteSegmentation]
]
LATER_THAN_THE_WINDOW: Final = 10
"""Added to the niceness; a process of 10 gets a tenth of a core that one of 0 also wants."""
SECONDS_BETWEEN_LOOKS: Final = 0.02
NO_REVIEW: Final = (
    "The posterior could not be saved ({reason}). This result can be viewed but not reviewed."
)


class Worker:
    """Handler of one request after the other; ``stop`` is the job to stop now.

    ``is_awaited`` tells whether another request waits.
    """

    def __init__(self, scratch: Path, send: Callable[[Message], None]) -> None:
        self.scratch = scratch
        self._send = send
        self._ensemble: Ensemble | RemoteEnsemble | None = None
        self._loaded: tuple[str, str] | None = None
        self._files = 0
        self._unread: Path | None = None  # the last array written, which its reader deletes
        self._is_reported = False
        self.stop: int | None = None
        self.is_awaited: Callable[[], bool] = lambda: False

    def handle(self, request: Message) -> None:
        """Carry out a request and turn every failure into a message."""
        try:
            if isinstance(request, LoadEnsemble):
                self._loaded = None  # because a training may have added or replaced members
                self._load(request.folder, request.device)
            elif isinstance(request, TestConnection):
                self._test(request.device)
            elif isinstance(request, SegmentImage):
                outcome = self._segment(request)
                self._send(JobEnded(outcome=outcome, job=request.job))
            self._await_checks()
        except (AppError, DataError, ModelError) as error:
            self._fail(request, error)
        except Exception as error:  # the child must survive and report an unforeseen error
            traceback.print_exc()
            work = "The test" if isinstance(request, TestConnection) else "Segmentation"
            self._fail(request, f"{work} failed unexpectedly ({type(error).__name__}: {error}).")
            _end_if_broken(error)

    def _fail(self, request: Message, words: Problem | str) -> None:
        """Answer a request that failed."""
        if isinstance(request, TestConnection):
            self._send(ConnectionTested(device=request.device, **text_fields(words)))
            return
        self._report_members()
        job = request.job if isinstance(request, SegmentImage) else 0
        self._send(JobEnded(outcome=FAILED, **text_fields(words), job=job))

    def _load(self, folder: str, device: str) -> Ensemble | RemoteEnsemble:
        if self._ensemble is None or self._loaded != (folder, device):
            self._ensemble = None
            gc.collect()  # its network is in a reference cycle and may fill most of the GPU memory
            self._send(StageStarted(text="Loading the ensemble"))
            self._ensemble = self._open(folder, device)
            self._loaded = (folder, device)
            self._is_reported = False
        return self._ensemble

    @property
    def _is_checked(self) -> bool:
        """Whether it is known which members of the loaded ensemble can be used."""
        ensemble = self._ensemble
        if isinstance(ensemble, Ensemble):
            return ensemble.checks.are_done
        return ensemble is not None

    def _await_checks(self) -> None:
        """Report the members once all are checked, or leave that to a request that waits."""
        while self._ensemble is not None and not self._is_checked and not self.is_awaited():
            time.sleep(SECONDS_BETWEEN_LOOKS)
        self._report_members()

    def _report_members(self) -> None:
        """Send once, when all are checked, which members of the loaded ensemble cannot be used."""
        if self._ensemble is None or self._loaded is None or self._is_reported:
            return
        if not self._is_checked:
            return
        self._is_reported = True  # first, because what follows may fail, and `_fail` comes here too
        members = self._ensemble.folder.members
        refused = {str(m.path): m.refused for m in members if not m.usable}
        self._send(EnsembleLoaded(folder=self._loaded[0], refused=refused))

    def _open(self, folder: str, device: str) -> Ensemble | RemoteEnsemble:
        if is_remote(device):
            from .remote.ensemble import RemoteEnsemble

            show_stage = lambda text: self._send(StageStarted(text=text))  # noqa: E731
            return RemoteEnsemble(folder, device=RemoteDevice.parse(device), show_stage=show_stage)
        notify = lambda sentence: self._send(Notice(text=sentence))  # noqa: E731
        cache = PredictionCache(self.scratch / "answers")
        return Ensemble(folder, device=device, notify=notify, cache=cache)

    def _test(self, device: str) -> None:
        from .remote.connection import describe_workers

        words = describe_workers(RemoteDevice.parse(device))
        self._send(ConnectionTested(device=device, **text_fields(words)))

    def _segment(self, request: SegmentImage) -> str:
        """Segment the requested phases and return FINISHED or STOPPED."""
        ensemble = self._load(request.folder, request.settings.device)
        self._report_members()
        image = np.load(request.image)
        try:
            phases = self._phases(request, ensemble, image)
            self._send(StageStarted(text="Waiting for the first model"))
            together = ensemble.phases_at_once(image, request.settings.mirroring)
            for first in range(0, len(phases), together):
                group = phases[first : first + together]
                remaining = len(phases) - first - len(group)
                self._segment_phases(request, ensemble, image, group, remaining)
        except Stopped:
            return STOPPED
        return FINISHED

    def _phases(
        self, request: SegmentImage, ensemble: Ensemble | RemoteEnsemble, image: Image
    ) -> list[int] | list[None]:
        if image.ndim == 4:
            return [None]
        if request.phases is not None:
            outside = [p for p in request.phases if not 1 <= p <= image.shape[1]]
            if outside:
                raise AppError(
                    "Phase {phase} does not exist. Choose a phase from 1 to {phases}.",
                    phase=outside[0],
                    phases=image.shape[1],
                )
            phases = request.phases or list(range(1, image.shape[1] + 1))
            return self._in_order(request, ensemble, image, phases)
        self._send(StageStarted(text="Finding end-diastole and end-systole"))
        usable = usable_phases(image, request.spacing)
        if note := note_on_left_out(usable, image.shape[1]):
            self._send(Notice(text=note))
        ed, es = ensemble.find_phases(
            image,
            request.spacing,
            largest_component=request.settings.largest_component,
            should_stop=self._stops(request.job),
            on_look=partial(self._send_look, request.job),
        )
        self._send(PhasesFound(job=request.job, end_diastole=ed, end_systole=es))
        return [ed, es]

    def _in_order(
        self,
        request: SegmentImage,
        ensemble: Ensemble | RemoteEnsemble,
        image: Image,
        phases: list[int],
    ) -> list[int]:
        """Return the phases of a cine in the order to segment them, after a look at all of it.

        Those that cannot be segmented come last, so that their error is reported after the results.
        """
        usable = usable_phases(image, request.spacing)
        if len(usable) < FEWEST_FOR_LOOKS:
            return phases
        self._send(StageStarted(text="Finding the heart in all phases"))
        looks: dict[int, FirstLook] = {}
        is_whole = len(usable) == image.shape[1]
        cine = image if is_whole else image[:, [phase - 1 for phase in usable]]
        seen = ensemble.first_looks(
            cine,
            request.spacing,
            largest_component=request.settings.largest_component,
            should_stop=self._stops(request.job),
        )
        for phase, look in zip(usable, seen, strict=True):
            self._send_look(request.job, phase, look)
            looks[phase] = look
        asked = [phase for phase in phases if phase in looks]
        order = order_after([looks[phase] for phase in asked])
        return [*(asked[index] for index in order), *(p for p in phases if p not in looks)]

    def _send_look(self, job: int, phase: int, look: FirstLook) -> None:
        ready = FirstLookReady(
            job=job,
            phase=phase,
            **self._write_arrays(look),
            volumes=dict(look.volumes),
            by_student=look.by_student,
        )
        self._send(ready)

    def _segment_phases(
        self,
        request: SegmentImage,
        ensemble: Ensemble | RemoteEnsemble,
        image: Image,
        phases: list[int] | list[None],
        remaining: int,
    ) -> None:
        steps = ensemble.phase_steps(
            [image if phase is None else image[:, phase - 1] for phase in phases],
            request.spacing,
            request.settings,
            keep_members=True,
            doubt=request.doubt,
            should_stop=self._stops(request.job),
        )
        results = self._show_snapshots(steps, request.job, phases, remaining)
        for phase, result in zip(phases, results, strict=True):
            posterior = self._write_posterior(result)
            report = result.report()
            self._send(PhaseDone(job=request.job, phase=phase, report=report, posterior=posterior))

    def _show_snapshots(
        self,
        steps: PhaseSteps,
        job: int,
        phases: list[int] | list[None],
        remaining: int,
    ) -> Sequence[Segmentation | RemoteSegmentation]:
        """Send the snapshots that `SnapshotThrottle` selects and return the results."""
        time_left, throttle, last_done = TimeLeft(), SnapshotThrottle(), 0

        def show(snapshots: Mapping[int, Snapshot | RemoteSnapshot]) -> None:
            nonlocal last_done
            self._report_members()
            done, total = min((s.done, s.total) for s in snapshots.values())
            time_left.step(done - last_done)
            last_done = done
            is_busy = self._unread is not None and self._unread.exists()
            if throttle.shows(done, total, is_busy=is_busy):
                per_phase = (time_left.seconds(total) or 0.0) / len(phases)
                for index, snapshot in snapshots.items():
                    eta = snapshot.eta_seconds + remaining * per_phase
                    self._send(self._snapshot(snapshot, job, phases[index], eta))

        return drain(steps, show)

    def _snapshot(
        self, snapshot: Snapshot | RemoteSnapshot, job: int, phase: int | None, eta: float
    ) -> SnapshotReady:
        return SnapshotReady(
            job=job,
            phase=phase,
            done=snapshot.done,
            total=snapshot.total,
            eta_seconds=round(eta, 3),
            **self._write_arrays(snapshot),
        )

    def _write_posterior(self, result: Segmentation | RemoteSegmentation) -> str:
        """Write the posterior for a review; if that fails, send a notice and return ""."""
        path = self._new_file(".npz")
        try:
            if isinstance(result, RemoteSegmentation):
                path.write_bytes(result.posterior)
            else:
                write_posterior(path, stored_posterior(result), compressed=False)
        except OSError as error:
            reason = error.strerror or error
            self._send(Notice(**text_fields(statement(NO_REVIEW, reason=reason))))
            return ""
        return str(path)

    def _write_arrays(self, shown: FirstLook | Snapshot | RemoteSnapshot) -> dict[str, Any]:
        maps = {name: self._write(values) for name, values in shown.maps.items()}
        return {"labels": self._write(shown.labels), "maps": maps}

    def _write(self, array: NDArray[np.generic]) -> str:
        self._unread = path = self._new_file(".npy")
        np.save(path, array)
        return str(path)

    def _new_file(self, ending: str) -> Path:
        self._files += 1
        return self.scratch / f"{os.getpid()}-{self._files}{ending}"

    def _stops(self, job: int) -> Callable[[], bool]:
        return lambda: self.stop == job


def serve(requests: TextIO, replies: TextIO, scratch: Path) -> None:
    """Answer the requests of a window until ``requests`` is closed."""
    lock = threading.Lock()

    def send(message: Message) -> None:
        with lock:
            replies.write(message.to_line() + "\n")
            replies.flush()

    worker = Worker(scratch, send)
    waiting: queue.Queue[Message | None] = queue.Queue()
    worker.is_awaited = lambda: not waiting.empty()
    reader = threading.Thread(target=_read, args=(requests, worker, waiting), daemon=True)
    reader.start()
    _report_devices(send)
    from ..nnunet import inference  # noqa: F401 (what the first ensemble needs, before it is chosen)

    while (request := waiting.get()) is not None:
        worker.handle(request)


def _report_devices(send: Callable[[Message], None]) -> None:
    """Send the devices of this computer, at once or, if it has GPUs, some seconds later.

    GPUs are described by a process that ends, because a process that asks a GPU for its free memory
    takes hundreds of MiB of it.
    """
    from ..nnunet.device import describe_devices, gpu_names

    def report() -> None:
        try:
            devices = find_devices()
        except AppError:
            traceback.print_exc()
            devices = describe_devices()
        send(ChildReady(devices=devices))

    if gpu_names():
        threading.Thread(target=report, daemon=True).start()
    else:
        send(ChildReady(devices=describe_devices()))


def _read(requests: TextIO, worker: Worker, waiting: queue.Queue[Message | None]) -> None:
    """Queue the requests, except that a stop takes effect at once. End with the input."""
    for line in requests:
        try:
            message = from_line(line)
        except AppError:
            traceback.print_exc()
            continue
        if isinstance(message, StopJob):
            worker.stop = message.job
        else:
            waiting.put(message)
    shutil.rmtree(worker.scratch, ignore_errors=True)  # the window may have been killed
    os._exit(0)


def _end_if_broken(error: Exception) -> None:
    """End this process if CUDA can no longer be used in it; the window starts another."""
    from ..nnunet.device import is_broken

    if is_broken(error):
        summary = str(error).partition("\n")[0]
        sys.stderr.write(f"{summary}\n")  # the window shows the last line
        sys.stderr.flush()
        os._exit(1)


def yield_to_the_window() -> None:
    """Lower the priority of this process, so that the window is drawn first; work is as fast."""
    if sys.platform == "win32":
        psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
    else:
        os.nice(LATER_THAN_THE_WINDOW)


def main() -> None:
    """Serve on standard input and output; send prints of libraries to standard error."""
    scratch = Path(sys.argv[sys.argv.index("--scratch") + 1])
    yield_to_the_window()
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, replies, scratch)


if __name__ == "__main__":
    main()
