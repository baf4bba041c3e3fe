"""Fake inference child that speaks the protocol and computes nothing.

Labels are 1 + (phase − 1) % 3 in a central cube; the entropy in it is done/total bit. The cube of
the first member is larger. The flags make the child slow, hang, crash or fail.
"""

from __future__ import annotations

import argparse
import os
import queue
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from napari_bayes_nnunet.app.messages import (
    ChildReady,
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
    from_line,
)
from napari_bayes_nnunet.core.ensemble.maps import MAPS


def read_flags(arguments: list[str]) -> argparse.Namespace:
    flags = argparse.ArgumentParser()
    flags.add_argument("--scratch", type=Path)
    flags.add_argument("--seconds", type=float, default=0.0, help="per member, except the first")
    flags.add_argument("--hangs-at", type=int, default=0, help="member that never ends")
    flags.add_argument("--dies-at", type=int, default=0, help="member at which it crashes")
    flags.add_argument("--fails", default="", help="error of every job")
    flags.add_argument("--refuses", default="", help="reason why the first member is refused")
    flags.add_argument("--notice", default="")
    flags.add_argument("--looks", action="store_true", help="look at all phases first")
    flags.add_argument("--no-posterior", action="store_true", help="send no posteriors")
    return flags.parse_args(arguments)


def used_members(count: int) -> list[dict[str, str | int]]:
    """Return the members as named in a report."""
    return [{"training": "made", "fold": "0", "cycle": 0, "epoch": n} for n in range(count)]


def main() -> None:
    child = FakeChild(
        read_flags(sys.argv[1:]), lambda message: print(message.to_line(), flush=True)
    )
    print("not a message: libraries print too", flush=True)
    threading.Thread(target=read, args=(child,), daemon=True).start()
    child.serve()


def read(child: FakeChild) -> None:
    for line in sys.stdin:
        child.receive(from_line(line))
    os._exit(0)


class FakeChild:
    def __init__(self, flags: argparse.Namespace, tell: Callable[[Message], None]) -> None:
        self.flags = flags
        self.tell = tell
        self.stop = threading.Event()
        self.ended = threading.Event()
        self.job = 0
        self.files = 0
        self.waiting: queue.Queue[Message | None] = queue.Queue()

    def serve(self) -> None:
        self.tell(ChildReady(devices={"cuda:0": "Fake GPU, 8.0 of 8.0 GiB free", "cpu": "CPU"}))
        while (message := self.waiting.get()) is not None and not self.ended.is_set():
            if isinstance(message, LoadEnsemble):
                self.load(message)
            elif isinstance(message, SegmentImage):
                self.segment(message)

    def receive(self, message: Message) -> None:
        if not isinstance(message, StopJob):
            self.waiting.put(message)
        elif message.job == self.job:
            self.stop.set()

    def close(self) -> None:
        self.ended.set()
        self.stop.set()
        self.waiting.put(None)

    def load(self, request: LoadEnsemble) -> None:
        members = sorted(Path(request.folder).rglob("*.pth"))
        refused = {str(members[0]): self.flags.refuses} if self.flags.refuses else {}
        self.tell(EnsembleLoaded(folder=request.folder, refused=refused))

    def segment(self, request: SegmentImage) -> None:
        self.job = request.job
        self.stop.clear()
        self.tell(StageStarted(text="Loading the ensemble"))
        image = np.load(request.image)
        if self.flags.fails:
            self.tell(JobEnded(outcome="failed", text=self.flags.fails, job=request.job))
            return
        if self.flags.notice:
            self.tell(Notice(text=self.flags.notice))
        phases: list[int | None] = list(request.phases or [None])
        if request.phases is None:
            phases = [image.shape[1], 2]
            self.tell(PhasesFound(job=request.job, end_diastole=image.shape[1], end_systole=2))
        if self.flags.looks:
            for phase in phases:
                self.tell(self.look(request, image.shape[-3:], phase))
        stopped = any(self.phase(request, image.shape[-3:], phase) for phase in phases)
        self.tell(JobEnded(outcome="stopped" if stopped else "finished", job=request.job))

    def phase(self, request: SegmentImage, shape: tuple[int, ...], phase: int | None) -> bool:
        """Segment one phase; return whether it was stopped."""
        for done in range(1, request.settings.members + 1):
            if done == self.flags.hangs_at:
                self.ended.wait()
            if self.ended.is_set() or self.stop.wait(self.flags.seconds if done > 1 else 0):
                return True
            if done == self.flags.dies_at:
                print("RuntimeError: fake crash", file=sys.stderr, flush=True)
                os._exit(3)
            self.tell(self.snapshot(request, shape, phase, done))
        report = {"ensemble": "made"} | request.settings.to_json()
        report |= {"members": used_members(request.settings.members)}
        report |= {"warnings": ["Look twice."], "notes": []}
        report |= {"spacing": request.spacing, "shape": np.load(request.image, "r").shape}
        posterior = "" if self.flags.no_posterior else self.posterior(request, shape, phase)
        self.tell(PhaseDone(job=request.job, phase=phase, report=report, posterior=posterior))
        return False

    def look(self, request: SegmentImage, shape: tuple[int, ...], phase: int) -> FirstLookReady:
        labels = np.full(shape, 3, np.uint8)
        return FirstLookReady(
            job=request.job,
            phase=phase,
            labels=self.write(labels),
            maps={"entropy": self.write(labels / np.float32(3))},
            volumes={"RV": 50.0, "MYO": 80.0, "LV": 100.0 - phase},
        )

    def posterior(self, request: SegmentImage, shape: tuple[int, ...], phase: int | None) -> str:
        # imported late, because many tests end a process before
        from napari_bayes_nnunet.core.ensemble.stored_posterior import StoredPosterior
        from napari_bayes_nnunet.io.study.arrays import write_posterior

        label = 1 + ((phase or 1) - 1) % 3
        members = np.zeros((request.settings.members, *shape), np.uint8)
        for number in range(request.settings.members):
            cube = tuple(slice(n // 4 + (number > 0), n - n // 4) for n in shape)
            members[(number, *cube)] = label
        one_hot = np.arange(4)[:, None, None, None, None] == members
        nothing = np.zeros(shape, np.float32)
        posterior = StoredPosterior.from_members(
            one_hot.mean(axis=1),
            members,
            prediction=members[0],
            maps={"entropy": nothing, "mutual-information": nothing},
        )
        self.files += 1
        path = self.flags.scratch / f"{os.getpid()}-{self.files}.npz"
        write_posterior(path, posterior, compressed=False)
        return str(path)

    def snapshot(
        self, request: SegmentImage, shape: tuple[int, ...], phase: int | None, done: int
    ) -> SnapshotReady:
        middle = tuple(slice(n // 4, n - n // 4) for n in shape)
        labels = np.zeros(shape, np.uint8)
        labels[middle] = 1 + ((phase or 1) - 1) % 3
        entropy = np.zeros(shape, np.float32)
        entropy[middle] = done / request.settings.members
        maps = {
            name: entropy / 2**place
            for place, (name, entry) in enumerate(MAPS.items())
            if entry.is_streamed or done == request.settings.members
        }
        return SnapshotReady(
            job=request.job,
            phase=phase,
            done=done,
            total=request.settings.members,
            eta_seconds=2.0 * (request.settings.members - done),
            labels=self.write(labels),
            maps={name: self.write(values) for name, values in maps.items()},
        )

    def write(self, array: np.ndarray) -> str:
        self.files += 1
        path = self.flags.scratch / f"{os.getpid()}-{self.files}.npy"
        np.save(path, array)
        return str(path)


if __name__ == "__main__":
    main()
