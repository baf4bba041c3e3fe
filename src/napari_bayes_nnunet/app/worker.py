"""The inference child process, which keeps an ensemble loaded and segments images for the window.

It runs `python -m napari_bayes_nnunet.app.worker` with the path of a scratch folder. It reads one
request per line on standard input, writes one message per line on standard output, and ends when
its input is closed.

With another computer as the device it passes requests and answers on, and the same loop runs there:
`ssh HOST bayes-nnunet serve` reads and writes messages with the content of their files.
"""

from __future__ import annotations

import gc
import os
import queue
import shutil
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, TextIO

import numpy as np
import psutil
from numpy.typing import NDArray

from .. import __version__
from ..core.choices import Precision
from ..core.durations import TimeLeft
from ..core.problems import Problem, statement
from ..core.steps import drain
from ..core.torch_import import explaining_torch
from ..io import DataError
from ..io.study.arrays import round_map, write_posterior
from ..nnunet import ModelError, Stopped
from . import AppError
from .devices import find_devices
from .messages import (
    FAILED,
    FINISHED,
    STOPPED,
    ChildReady,
    EnsembleFile,
    EnsembleLoaded,
    EnsembleMissing,
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
    from_line,
    text_fields,
)
from .remote.connection import RemoteConnection
from .remote.device import RemoteDevice, is_remote
from .remote.store import find_kept, keep_file
from .remote.stream import read_messages, write_message
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

LATER_THAN_THE_WINDOW: Final = 10
"""Added to the niceness; a process of 10 gets a tenth of a core that one of 0 also wants."""
SECONDS_BETWEEN_LOOKS: Final = 0.02
NO_REVIEW: Final = (
    "The posterior could not be saved ({reason}). This result can be viewed but not reviewed."
)

LOADED_THERE: Final = "The ensemble is loaded on the other computer ({device})."


class Worker:
    """Handler of one request after the other; ``stop`` is the job to stop now.

    ``is_awaited`` tells whether another request waits.
    """

    def __init__(self, scratch: Path, send: Callable[[Message], None]) -> None:
        self.scratch = scratch
        self._send = send
        self._ensemble: Ensemble | None = None
        self._loaded: tuple[str, str, Precision] | None = None
        self._known_by = ""  # fingerprint of the ensemble, if another computer asks for it
        self._remote: RemoteConnection | None = None
        self._files = 0
        self._unread: Path | None = None  # the last array written, which its reader deletes
        self._is_reported = False
        self.stop: int | None = None
        self.is_awaited: Callable[[], bool] = lambda: False

    def handle(self, request: Message) -> None:
        """Carry out a request and turn every failure into a message."""
        try:
            if isinstance(request, LoadEnsemble | SegmentImage):
                self._answer(request)
            elif isinstance(request, EnsembleFile):
                keep_file(request)
            self._await_checks()
        except (AppError, DataError, ModelError) as error:
            self._fail(request, error)
        except Exception as error:  # the child must survive and report an unforeseen error
            traceback.print_exc()
            self._fail(
                request, f"Segmentation failed unexpectedly ({type(error).__name__}: {error})."
            )
            _end_if_broken(error)

    def stop_job(self, message: StopJob) -> None:
        """Stop a job, here or on the other computer; call it in any thread."""
        self.stop = message.job
        if (remote := self._remote) is not None:
            with suppress(AppError):  # which the thread that reads the answers reports
                remote.send(message)

    def _answer(self, request: LoadEnsemble | SegmentImage) -> None:
        """Carry out a request for an ensemble, here or on another computer."""
        settings = request if isinstance(request, LoadEnsemble) else request.settings
        device = settings.device
        if is_remote(device) and not request.fingerprint:
            for reply in self._connected(device).ask(request):
                self._send(reply)
            return
        self._disconnect()
        if request.fingerprint:  # from another computer, which calls this one by its address
            device = "auto"
            folder = find_kept(request.folder, request.fingerprint)
            if folder is None:
                self._send(EnsembleMissing())
                return
            request = replace(request, folder=str(folder))
        self._known_by = request.fingerprint
        if isinstance(request, LoadEnsemble):
            self._loaded = None  # because a training may have added or replaced members
            self._load(request.folder, device)
            if request.fingerprint:
                from ..nnunet.device import choose_device, describe_device

                device = describe_device(choose_device())
                self._send(Notice(text=LOADED_THERE.format(device=device)))
        else:
            self._send(JobEnded(outcome=self._segment(request, device), job=request.job))

    def _connected(self, device: str) -> RemoteConnection:
        """Return the open connection to a computer, or a new one. Raises AppError."""
        there = RemoteDevice.parse(device)
        if self._remote is None or self._remote.device != there or not self._remote.is_alive:
            self._disconnect()
            self._ensemble = self._loaded = None
            self._send(StageStarted(text=f"Connecting to {there.address}"))
            self._remote = RemoteConnection(there, self.scratch)
            if self.stop is not None:  # while it was connecting
                self._remote.send(StopJob(job=self.stop))
        return self._remote

    def _disconnect(self) -> None:
        remote, self._remote = self._remote, None
        if remote is not None:
            remote.close()

    def _fail(self, request: Message, words: Problem | str) -> None:
        """Answer a request that failed."""
        self._report_members()
        job = request.job if isinstance(request, SegmentImage) else 0
        self._send(JobEnded(outcome=FAILED, **text_fields(words), job=job))

    def _load(self, folder: str, device: str, precision: Precision = "auto") -> Ensemble:
        if self._ensemble is None or self._loaded != (folder, device, precision):
            self._ensemble = None
            gc.collect()  # its network is in a reference cycle and may fill most of the GPU memory
            self._send(StageStarted(text="Loading the ensemble"))
            self._ensemble = Ensemble(
                folder,
                device=device,
                precision=precision,
                notify=lambda sentence: self._send(Notice(text=sentence)),
                cache=PredictionCache(self.scratch / "answers"),
            )
            self._loaded = (folder, device, precision)
            self._is_reported = False
        return self._ensemble

    def _await_checks(self) -> None:
        """Report the members once all are checked, or leave that to a request that waits."""
        while self._ensemble and not self._ensemble.checks.are_done and not self.is_awaited():
            time.sleep(SECONDS_BETWEEN_LOOKS)
        self._report_members()

    def _report_members(self) -> None:
        """Send once, when all are checked, which members of the loaded ensemble cannot be used."""
        if self._ensemble is None or self._loaded is None or self._is_reported:
            return
        if not self._ensemble.checks.are_done:
            return
        self._is_reported = True  # first, because what follows may fail, and `_fail` comes here too
        known_by = self._known_by
        refused = {
            str(number if known_by else member.path): member.refused
            for number, member in enumerate(self._ensemble.folder.members)
            if not member.usable
        }
        folder = self._loaded[0]
        self._send(EnsembleLoaded(folder=folder, refused=refused, fingerprint=known_by))

    def _segment(self, request: SegmentImage, device: str) -> str:
        """Segment the requested phases and return FINISHED or STOPPED."""
        settings = request.settings
        ensemble = self._load(request.folder, device, settings.precision)
        self._report_members()
        image = np.load(request.image)
        if request.fingerprint:  # else the window, which has written it, deletes it
            Path(request.image).unlink()
        try:
            phases = self._phases(request, ensemble, image)
            if request.part == "looks":
                return FINISHED
            self._send(StageStarted(text="Waiting for the first member"))
            together = ensemble.phases_at_once(image, settings.mirroring)
            for first in range(0, len(phases), together):
                group = phases[first : first + together]
                remaining = len(phases) - first - len(group)
                self._segment_phases(request, ensemble, image, group, remaining)
        except Stopped:
            return STOPPED
        return FINISHED

    def _phases(
        self, request: SegmentImage, ensemble: Ensemble, image: Image
    ) -> list[int] | list[None]:
        if image.ndim == 4:
            return [None]
        if request.phases is not None:
            outside = [p for p in request.phases if not 1 <= p <= image.shape[1]]
            if outside:
                # Checked here too, because a request may come from another computer.
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
        ensemble: Ensemble,
        image: Image,
        phases: list[int],
    ) -> list[int]:
        """Return the phases of a cine in the order to segment them, after a look at all of it.

        Those that cannot be segmented come last, so that their error is reported after the results.
        """
        if request.part == "phases":
            return phases
        usable = usable_phases(image, request.spacing)
        if request.part == "looks":  # the other computer has left out what is not usable
            usable = phases
        elif len(usable) < FEWEST_FOR_LOOKS:
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
            **self._write_arrays(look, exact=not self._known_by),
            volumes=dict(look.volumes),
        )
        self._send(ready)

    def _segment_phases(
        self,
        request: SegmentImage,
        ensemble: Ensemble,
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
        results = self._show_snapshots(steps, request, phases, remaining)
        is_for_predict = request.part == "phases"
        for phase, result in zip(phases, results, strict=True):
            done = PhaseDone(
                job=request.job,
                phase=phase,
                report=result.report(),
                posterior=self._write_posterior(result),
                probabilities=self._write(result.probabilities) if is_for_predict else "",
                no_cine=result.no_cine,
                run_notes=result.run_notes,
            )
            self._send(done)

    def _show_snapshots(
        self,
        steps: Generator[Mapping[int, Snapshot], None, Sequence[Segmentation]],
        request: SegmentImage,
        phases: list[int] | list[None],
        remaining: int,
    ) -> Sequence[Segmentation]:
        """Send the snapshots that `SnapshotThrottle` selects and return the results."""
        time_left, throttle, last_done = TimeLeft(), SnapshotThrottle(), 0

        def show(snapshots: Mapping[int, Snapshot]) -> None:
            nonlocal last_done
            self._report_members()
            done, total = min((s.done, s.total) for s in snapshots.values())
            time_left.step(done - last_done)
            last_done = done
            # The reader deletes an array when it has read it.
            is_busy = self._unread is not None and self._unread.exists()
            if throttle.shows(done, total, is_busy=is_busy):
                per_phase = (time_left.seconds(total) or 0.0) / len(phases)
                for index, snapshot in snapshots.items():
                    eta = snapshot.eta_seconds + remaining * per_phase
                    self._send(self._snapshot(snapshot, request, phases[index], eta))

        return drain(steps, show)

    def _snapshot(
        self, snapshot: Snapshot, request: SegmentImage, phase: int | None, eta: float
    ) -> SnapshotReady:
        is_last = request.part == "phases" and snapshot.done == snapshot.total
        return SnapshotReady(
            job=request.job,
            phase=phase,
            done=snapshot.done,
            total=snapshot.total,
            eta_seconds=round(eta, 3),
            **self._write_arrays(snapshot, exact=is_last or not self._known_by),
        )

    def _write_posterior(self, result: Segmentation) -> str:
        """Write the posterior for a review; if that fails, send a notice and return ""."""
        path = self._new_file(".npz")
        try:
            write_posterior(path, stored_posterior(result), compressed=False)
        except OSError as error:
            reason = error.strerror or error
            self._send(Notice(**text_fields(statement(NO_REVIEW, reason=reason))))
            return ""
        return str(path)

    def _write_arrays(self, shown: FirstLook | Snapshot, *, exact: bool) -> dict[str, Any]:
        """Write labels and maps; unless ``exact``, in a fifth of the bytes over ssh."""
        kept = {n: values if exact else round_map(values) for n, values in shown.maps.items()}
        maps = {name: self._write(values) for name, values in kept.items()}
        return {"labels": self._write(shown.labels), "maps": maps}

    def _write(self, array: NDArray[np.generic]) -> str:
        self._unread = path = self._new_file(".npy")
        np.save(path, array)
        return str(path)

    def _new_file(self, ending: str) -> Path:
        # A new name for each array, because the window may still be reading the one before.
        self._files += 1
        return self.scratch / f"{os.getpid()}-{self._files}{ending}"

    def _stops(self, job: int) -> Callable[[], bool]:
        return lambda: self.stop == job


def serve(requests: Iterable[Message], scratch: Path, send: Callable[[Message], None]) -> None:
    """Answer requests until there are no more, with files in ``scratch``, which is then deleted."""
    worker = Worker(scratch, send)
    waiting: queue.Queue[Message] = queue.Queue()
    worker.is_awaited = lambda: not waiting.empty()
    reader = threading.Thread(target=_read, args=(requests, worker, waiting), daemon=True)
    reader.start()
    try:
        with explaining_torch():
            _report_devices(send)
            # What the first ensemble needs, before it is chosen.
            from ..nnunet import inference  # noqa: F401
    except Problem as error:
        raise SystemExit(str(error)) from error  # the window shows the last line

    while True:
        worker.handle(waiting.get())


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


def _read(requests: Iterable[Message], worker: Worker, waiting: queue.Queue[Message]) -> None:
    """Queue the requests, except that a stop takes effect at once. End with the input."""
    with suppress(AppError, EOFError, OSError):  # of a connection that was cut
        for message in requests:
            if isinstance(message, StopJob):
                worker.stop_job(message)
            else:
                waiting.put(message)
    shutil.rmtree(worker.scratch, ignore_errors=True)  # the window may have been killed
    # An exception would only end this thread.
    os._exit(0)


def _messages_in(lines: TextIO) -> Iterator[Message]:
    for line in lines:
        try:
            yield from_line(line)
        except AppError:
            traceback.print_exc()


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


def _own_output() -> BinaryIO:
    """Return the standard output, and send prints of libraries to standard error from now on."""
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return output


def main() -> None:
    """Serve the window on this computer, through standard input and output."""
    scratch = Path(sys.argv[sys.argv.index("--scratch") + 1])
    yield_to_the_window()
    replies, lock = _own_output(), threading.Lock()

    def send(message: Message) -> None:
        # Several threads send, and a line must not be cut by another.
        with lock:
            replies.write(f"{message.to_line()}\n".encode())
            replies.flush()

    serve(_messages_in(sys.stdin), scratch, send)


def serve_another_computer() -> None:
    """Serve the computer that started this process by ssh.

    Answers are sent by a thread, so that the network does not slow the segmentation down.
    """
    replies = _own_output()
    scratch = Path(tempfile.mkdtemp(prefix="bayes-nnunet-"))
    answers: queue.Queue[Message] = queue.Queue()
    answers.put(ChildReady(devices={}, version=__version__))  # at once, before torch is imported

    def send() -> None:
        with suppress(OSError):  # the connection was cut, which ends this process
            while True:
                message = answers.get()
                write_message(replies, message)
                message.delete_files()

    threading.Thread(target=send, daemon=True).start()
    serve(read_messages(sys.stdin.buffer, scratch), scratch, answers.put)


if __name__ == "__main__":
    main()
