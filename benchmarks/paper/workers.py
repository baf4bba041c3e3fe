"""Workers that share the trainings: processes of this machine, or tasks of a Slurm array.

A worker takes the next training that no other worker has locked. The locks are files next to the
trainings, so workers on several machines need a shared drive with working file locks.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from time import sleep

from filelock import FileLock, Timeout

from napari_bayes_nnunet.core.command import BAYES_NNUNET

from .trainings import (
    Preset,
    Training,
    is_finished,
    preprocessed_run,
    share_preprocessing,
    train_once,
)

POLL_SECONDS = 1.0


def choose_devices(device: str, workers: int | None) -> list[str]:
    """Return the device of each worker: the CUDA cards in turn, else the same for all.

    By default there is one worker for each card, or for each core of the CPU.
    """
    import torch

    from napari_bayes_nnunet.nnunet.device import choose_device

    cards = torch.cuda.device_count() if device in ("auto", "cuda") else 0
    if cards:
        return [f"cuda:{number % cards}" for number in range(workers or cards)]
    processes = os.cpu_count() or 1 if choose_device(device).type == "cpu" else 1
    return [device] * (workers or processes)


def train_all(
    dataset: Path,
    output: Path,
    split: Path,
    planned: Sequence[Training],
    *,
    preset: Preset,
    devices: Sequence[str],
    command: Sequence[str] = BAYES_NNUNET,
) -> list[Training]:
    """Run the unfinished ones of the ``planned`` trainings, one at a time on each device.

    Returns those that ended before their last epoch. Trainings stop with their command: after an
    interrupt no other one starts.
    """
    threads, failed, is_over = threads_of_worker(devices), [], Event()

    def work(device: str) -> None:
        for training in planned:
            if is_over.is_set():
                return
            try:
                claim = FileLock(lock_file(training, output)).acquire(timeout=0)
            except Timeout:  # another worker runs it
                continue
            with claim:
                if is_finished(training, output):
                    continue
                wait_for_preprocessing(training, planned[0], output, preset)
                share_preprocessing(training, output, preset)
                request = training.request(dataset, output, split, preset=preset, device=device)
                code = train_once(training, request, output, threads=threads, command=command)
                if not is_finished(training, output):
                    failed.append(training)
                    if code == 0:  # it was asked to stop
                        return

    with ThreadPoolExecutor(len(devices)) as pool:
        try:
            list(pool.map(work, devices))
        except KeyboardInterrupt:
            is_over.set()  # and wait for the trainings, which stop too
            raise
    return [training for training in failed if not is_finished(training, output)]


def threads_of_worker(devices: Sequence[str]) -> int | None:
    """Return the threads of each of several workers on a CPU, None for all of them."""
    if len(devices) == 1 or devices[0].startswith("cuda"):
        return None
    return max(1, (os.cpu_count() or 1) // len(devices))


def lock_file(training: Training, output: Path) -> Path:
    """Return the file that the worker of a training locks; its folder is created."""
    folder = output / "trainings"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{training.kind}-{training.seed}.lock"


def wait_for_preprocessing(
    training: Training, first: Training, output: Path, preset: Preset
) -> None:
    """Wait while another worker preprocesses the cases for the ``first`` training."""
    if training == first:
        return
    while preprocessed_run(output, preset) is None and is_locked(first, output):
        sleep(POLL_SECONDS)


def is_locked(training: Training, output: Path) -> bool:
    """Return whether a worker runs the training."""
    lock = FileLock(lock_file(training, output))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False
