"""A quick stand-in for the inference child: speaks the protocol, computes nothing.

Labels are 1 + (phase − 1) % 3 in a cube in the middle; the entropy there is done/total bit. Every
member but the first has a smaller cube. The flags make it slow, hang, die or fail.
"""

from __future__ import annotations

import argparse
import os
import queue
import sys
import threading
import time
from pathlib import Path

import numpy as np

from napari_bayes_nnunet.app.messages import (
    ChildReady,
    ConnectionTested,
    EnsembleLoaded,
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
)
from napari_bayes_nnunet.core.ensemble.stored_posterior import StoredPosterior
from napari_bayes_nnunet.io.study.arrays import write_posterior


def main() -> None:
    flags = argparse.ArgumentParser()
    flags.add_argument("--scratch", type=Path)
    flags.add_argument("--seconds", type=float, default=0.0, help="per member, but the first")
    flags.add_argument("--hangs-at", type=int, default=0, help="member that takes a minute")
    flags.add_argument("--dies-at", type=int, default=0, help="member at which it crashes")
    flags.add_argument("--fails", default="", help="the sentence every job fails with")
    flags.add_argument("--refuses", default="", help="why the first member is refused")
    flags.add_argument("--notice", default="")
    flags.add_argument("--no-posterior", action="store_true", help="what members said is lost")
    FakeChild(flags.parse_args()).serve()


def tell(message: Message) -> None:
    print(message.to_line(), flush=True)


class FakeChild:
    def __init__(self, flags: argparse.Namespace) -> None:
        self.flags = flags
        self.stop = threading.Event()
        self.job = 0
        self.files = 0
        self.waiting: queue.Queue[Message] = queue.Queue()

    def serve(self) -> None:
        threading.Thread(target=self.read, daemon=True).start()
        print("not a message: libraries print too", flush=True)
        tell(ChildReady(devices={"cuda:0": "Fake GPU, 8.0 of 8.0 GiB free", "cpu": "CPU"}))
        while True:
            message = self.waiting.get()
            if isinstance(message, LoadEnsemble):
                self.load(message)
            elif isinstance(message, SegmentImage):
                self.segment(message)
            elif isinstance(message, TestConnection):
                tell(ConnectionTested(device=message.device, text="1 worker; it has a fake GPU."))

    def read(self) -> None:
        for line in sys.stdin:
            message = from_line(line)
            if isinstance(message, StopJob):
                if message.job == self.job:
                    self.stop.set()
            else:
                self.waiting.put(message)
        os._exit(0)

    def load(self, request: LoadEnsemble) -> None:
        members = sorted(Path(request.folder).rglob("*.pth"))
        refused = {str(members[0]): self.flags.refuses} if self.flags.refuses else {}
        tell(EnsembleLoaded(folder=request.folder, refused=refused))

    def segment(self, request: SegmentImage) -> None:
        self.job = request.job
        self.stop.clear()
        tell(StageStarted(text="Loading the ensemble"))
        image = np.load(request.image)
        if self.flags.fails:
            tell(JobEnded(outcome="failed", text=self.flags.fails, job=request.job))
            return
        if self.flags.notice:
            tell(Notice(text=self.flags.notice))
        phases: list[int | None] = list(request.phases or [None])
        if request.phases is None:
            phases = [image.shape[1], 2]
            tell(PhasesFound(job=request.job, end_diastole=image.shape[1], end_systole=2))
        stopped = any(self.phase(request, image.shape[-3:], phase) for phase in phases)
        tell(JobEnded(outcome="stopped" if stopped else "finished", job=request.job))

    def phase(self, request: SegmentImage, shape: tuple[int, ...], phase: int | None) -> bool:
        """Segment one phase; True if stopped."""
        for done in range(1, request.settings.members + 1):
            if done == self.flags.hangs_at:
                time.sleep(60)
            if self.stop.wait(self.flags.seconds if done > 1 else 0):
                return True
            if done == self.flags.dies_at:
                print("RuntimeError: fake crash", file=sys.stderr, flush=True)
                os._exit(3)
            tell(self.snapshot(request, shape, phase, done))
        report = {"method": request.settings.method, "device": request.settings.device}
        report |= {"members": request.settings.members, "warnings": ["Look twice."], "notes": []}
        report |= {"spacing": request.spacing, "shape": np.load(request.image, "r").shape}
        posterior = "" if self.flags.no_posterior else self.posterior(request, shape, phase)
        tell(PhaseDone(job=request.job, phase=phase, report=report, posterior=posterior))
        return False

    def posterior(self, request: SegmentImage, shape: tuple[int, ...], phase: int | None) -> str:
        label = 1 + ((phase or 1) - 1) % 3
        members = np.zeros((request.settings.members, *shape), np.uint8)
        for number in range(request.settings.members):
            cube = tuple(slice(n // 4 + (number > 0), n - n // 4) for n in shape)
            members[(number, *cube)] = label
        said = np.arange(4)[:, None, None, None, None] == members
        nothing = np.zeros(shape, np.float32)
        posterior = StoredPosterior.from_members(
            said.mean(axis=1),
            members,
            prediction=members[0],
            entropy=nothing,
            mutual_information=nothing,
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
        arrays = {"labels": labels, "entropy": entropy, "mutual_information": entropy / 2}
        return SnapshotReady(
            job=request.job,
            phase=phase,
            done=done,
            total=request.settings.members,
            eta_seconds=2.0 * (request.settings.members - done),
            **{name: self.write(array) for name, array in arrays.items()},
        )

    def write(self, array: np.ndarray) -> str:
        self.files += 1
        path = self.flags.scratch / f"{os.getpid()}-{self.files}.npy"
        np.save(path, array)
        return str(path)


if __name__ == "__main__":
    main()
