"""Training on several GPUs with nnU-Net's own processes (distributed data parallel, DDP).

nnU-Net starts one process per GPU, in which our trainer runs. Only environment variables and files
reach them: the first one writes the reports of the epochs to a file, and RUN/stop stops all.
"""

from __future__ import annotations

import atexit
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from threading import Event, Thread

import torch
from torch.multiprocessing.spawn import ProcessException

from ..core.problems import Action, Remedy, Setting, change, statement
from ..io.ensemble.run_folder import EpochReport, RunFolder
from ..io.files.json_files import parse_json
from . import ModelError, Stopped
from .device import training_environment
from .fork_guard import be_killed_with_parent, end_forks_with_this_process
from .weights import read_checkpoint

POLL_SECONDS = 0.2
NUM_GPUS = Setting("num_gpus")
PROCESS_FAILED = (
    "A process of the training on several GPUs failed ({reason}). See train.log for details."
)


def check_gpus(gpus: int, *, device: str, batch_size: int) -> None:
    """Raise ModelError if nnU-Net cannot train on ``gpus`` GPUs.

    ``device`` is the requested device: "auto", "cuda", "cuda:1", "mps" or "cpu".
    """
    omit_gpus = Remedy(Action.OMIT, {"setting": NUM_GPUS})
    omit_device = Remedy(Action.OMIT, {"setting": Setting("device")})
    other_gpus = Remedy(Action.OTHER_VALUE, {"setting": NUM_GPUS})
    if device not in ("auto", "cuda"):
        raise ModelError(
            "A training on several GPUs takes the first of CUDA_VISIBLE_DEVICES, not {device}.",
            omit_device,
            omit_gpus,
            device=device,
        )
    available = torch.cuda.device_count()
    if available < gpus:
        raise ModelError(
            "A training on {gpus} GPUs needs as many CUDA GPUs, but this computer has {available}.",
            other_gpus,
            gpus=gpus,
            available=available,
        )
    if batch_size % gpus:  # nnU-Net's Dice loss gathers tensors of one size from all GPUs
        size = max(batch_size // gpus, 1) * gpus
        raise ModelError(
            "A batch of {batch_size} cannot be shared equally among {gpus} GPUs.",
            change("batch_size", size),
            other_gpus,
            batch_size=batch_size,
            gpus=gpus,
        )


def saved_epoch(run: RunFolder, fold: str) -> int:
    """Return the epoch at which a training continues, 0 without a saved state."""
    # nnU-Net continues from the first of these files.
    for name in ("checkpoint_final.pth", "checkpoint_latest.pth", "checkpoint_best.pth"):
        file = run.fold(fold) / name
        if file.is_file():
            return int(read_checkpoint(file)["current_epoch"])
    return 0


def train_on_gpus(
    dataset_name: str,
    configuration: str,
    fold: str,
    *,
    plans: str,
    gpus: int,
    resume: bool,
    run: RunFolder,
    on_epoch: Callable[[EpochReport], None],
    stop_requested: Callable[[], bool],
) -> None:
    """Train to the last epoch, in place of a trainer's ``run_training``.

    The variables of `workspace_environment` and `trainer_environment` must be set. ``on_epoch``
    receives a report of every epoch. Once ``stop_requested`` returns True, the file RUN/stop asks
    all processes to stop. Raises Stopped, or ModelError if a process fails.
    """
    from nnunetv2.run.run_training import run_training

    os.environ.update(training_environment(torch.device("cuda")))
    file = reports_file(run, fold)
    file.parent.mkdir(parents=True, exist_ok=True)
    # Reports of a start that failed would be sent again.
    file.write_bytes(b"")
    with file.open(encoding="utf-8") as lines:

        def follow() -> None:
            if stop_requested():
                run.stop.touch()
            while line := lines.readline():
                on_epoch(parse_json(line, EpochReport))

        try:
            with _repeating(follow):
                run_training(
                    dataset_name,
                    configuration,
                    fold,
                    "CheckpointEnsembleTrainer",
                    plans,
                    num_gpus=gpus,
                    continue_training=resume,
                )
        except ProcessException as error:
            raise process_failure(error) from error
    file.unlink()
    # Processes that were stopped end without an error, so only nnU-Net's last file tells.
    if not (run.fold(fold) / "checkpoint_final.pth").exists():
        raise Stopped


@contextmanager
def _repeating(act: Callable[[], None]) -> Iterator[None]:
    """Call ``act`` again and again in a thread during this block, and once at its end.

    A drive that fails for a while does not end the thread.
    """
    ended = Event()

    def repeat() -> None:
        while not ended.wait(POLL_SECONDS):
            with suppress(OSError):
                act()

    thread = Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        act()


def process_failure(error: Exception) -> ModelError:
    """Return why the processes ended; the text of torch's error is the traceback of one process."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    model_error = f"{ModelError.__module__}.{ModelError.__name__}: "
    # The last line of a traceback names the type with its module.
    if reason.startswith(model_error):
        return ModelError.from_statement(statement(reason.removeprefix(model_error)))
    return ModelError(PROCESS_FAILED, Action.RESUME, reason=reason.rstrip("."))


# In the processes


def reports_file(run: RunFolder, fold: str) -> Path:
    """Return the file in which the first process writes the reports, one JSON line each."""
    return run.fold(fold) / "reports.jsonl"


def append_report(file: Path, report: EpochReport) -> None:
    """Add the report of an epoch, in one write, so that a reader finds whole lines."""
    with file.open("ab", buffering=0) as stream:
        stream.write((json.dumps(asdict(report)) + "\n").encode())


def follow_first_process() -> None:
    """Make this process, and those that augment for it, end with the one that started it.

    Ctrl-C in a terminal reaches all processes: the first one turns it into a request to stop.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    be_killed_with_parent()
    if sys.platform == "linux":  # those that augment are forked as on one GPU, not spawned
        multiprocessing.set_start_method("fork", force=True)
    end_forks_with_this_process()


def ask_first_process(ask: Callable[[], bool]) -> bool:
    """Return the first process's answer in all processes: they must stop after the same epoch."""
    import torch.distributed as dist

    answer = [dist.get_rank() == 0 and ask()]
    dist.broadcast_object_list(answer, src=0)
    return answer[0]


def end_without_teardown() -> None:
    """Make a spawned process exit with code 0 as soon as its Python code is done.

    Exit handlers registered earlier do not run, so call this once everything is written. Threads of
    gloo and autograd that still hold tensors would abort a process whose interpreter is taken down
    before them (pytorch/pytorch#190489).
    """
    if multiprocessing.parent_process() is not None:
        atexit.register(os._exit, 0)
