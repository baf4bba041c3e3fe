"""Training on several GPUs with nnU-Net's own command (distributed data parallel, DDP).

The training's process starts ``python -m napari_bayes_nnunet.nnunet.ddp``, which starts one process
per GPU. They run in a session of their own, so Ctrl-C in the terminal only reaches the first.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from ..core.command import python_command
from ..core.problems import Action, Remedy, Setting, Statement, statement
from ..io.ensemble.run_folder import EpochReport, RunFolder
from . import ModelError
from .device import training_environment
from .planning import workspace_environment
from .ranks import PARENT_VARIABLE, Mailbox, end_with_parent
from .trainer import RUN_VARIABLE, CheckpointEnsembleTrainer, TrainingStopped, trainer_environment
from .weights import read_checkpoint

POLL_SECONDS = 0.2
NUM_GPUS = Setting("num_gpus")
KILLED = (
    "The training on several GPUs was killed by {signal}, probably because memory ran out. See "
    "train.log for details."
)
EXITED = "The training on several GPUs ended with exit code {code}. See train.log for details."
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
    if device.startswith("cuda:"):
        raise ModelError(
            "A training on {gpus} GPUs takes the first {gpus} of CUDA_VISIBLE_DEVICES, not "
            "{device}.",
            omit_device,
            gpus=gpus,
            device=device,
        )
    if device not in ("auto", "cuda"):
        raise ModelError(
            "Only CUDA GPUs can share a training, not {device}.",
            omit_gpus,
            omit_device,
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
    if not (torch.distributed.is_available() and torch.distributed.is_nccl_available()):
        raise ModelError(
            "This installation of PyTorch lacks NCCL, without which it cannot train on several "
            "GPUs. PyTorch has it on Linux.",
            omit_gpus,
        )
    if batch_size % gpus:  # nnU-Net's Dice loss gathers tensors of one size from all GPUs
        size = max(batch_size // gpus, 1) * gpus
        raise ModelError(
            "A batch of {batch_size} cannot be shared equally among {gpus} GPUs.",
            Remedy(Action.OTHER_BATCH_SIZE, {"size": size}),
            other_gpus,
            batch_size=batch_size,
            gpus=gpus,
        )


def ddp_command(
    dataset_name: str, configuration: str, fold: str, *, plans: str, gpus: int, resume: bool
) -> list[str]:
    """Return nnU-Net's command for ``gpus`` GPUs, run in a process that ends with this one."""
    return [
        *python_command(__name__, dataset_name, configuration, fold),
        *("-tr", CheckpointEnsembleTrainer.__name__),
        *("-p", plans),
        *("-num_gpus", str(gpus)),
        *(["--c"] if resume else []),
    ]


def ddp_environment(run: Path, workspace: Path) -> dict[str, str]:
    """Return the variables that the command needs in addition to those of this process."""
    return {
        **workspace_environment(workspace),
        **trainer_environment(run),
        **training_environment(torch.device("cuda")),
        PARENT_VARIABLE: str(os.getpid()),
    }


def saved_epoch(run: RunFolder, fold: str) -> int:
    """Return the epoch at which a training continues, 0 without a saved state."""
    # nnU-Net continues from the first of these files.
    for name in ("checkpoint_final.pth", "checkpoint_latest.pth", "checkpoint_best.pth"):
        file = run.fold(fold) / name
        if file.is_file():
            return int(read_checkpoint(file)["current_epoch"])
    return 0


def train_on_gpus(
    command: list[str],
    environment: dict[str, str],
    *,
    run: RunFolder,
    fold: str,
    on_epoch: Callable[[EpochReport], None],
    stop_requested: Callable[[], bool],
) -> None:
    """Run ``command`` to its end, in place of a trainer's ``run_training``.

    ``on_epoch`` receives a report of every epoch. Once ``stop_requested`` returns True, the file
    RUN/stop asks the training to stop. Raises TrainingStopped, or ModelError with the statement of
    the process that failed; its traceback goes to the standard error of this process.
    """
    mailbox = Mailbox(run, fold)
    mailbox.empty()
    with _running(command, environment) as process:
        code = None
        while code is None:
            code = process.poll()
            for report in mailbox.new_reports():
                on_epoch(report)
            if code is None:
                if stop_requested():
                    run.stop.touch()
                time.sleep(POLL_SECONDS)
    failure, stopped = mailbox.failure, mailbox.is_stopped
    mailbox.empty()
    if code:
        raise ModelError.from_statement(failure) if failure else _ending_of(code)
    if stopped:
        raise TrainingStopped


@contextmanager
def _running(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Start the command, and kill it with all its processes if it still runs at the end."""
    process = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _ending_of(code: int) -> ModelError:
    if code < 0:
        return ModelError(KILLED, Action.RESUME, signal=signal.Signals(-code).name)
    return ModelError(EXITED, Action.RESUME, code=code)


def main() -> None:
    """Run nnU-Net's training command with this process's arguments, and note why it fails."""
    from nnunetv2.run.run_training import run_training_entry

    mailbox = Mailbox(RunFolder(Path(os.environ[RUN_VARIABLE])), sys.argv[3])
    try:
        run_training_entry()
    except Exception as error:
        mailbox.note_failure(failure_statement(error))
        raise


def failure_statement(error: Exception) -> Statement:
    """Return why the processes ended; the text of torch's error is the traceback of one process."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    model_error = f"{ModelError.__module__}.{ModelError.__name__}: "
    if reason.startswith(model_error):
        return statement(reason.removeprefix(model_error))
    return statement(PROCESS_FAILED, Action.RESUME, reason=reason.rstrip("."))


if __name__ in ("__main__", "__mp_main__"):
    # All processes spawned under this command import this module before they begin.
    end_with_parent()
if __name__ == "__main__":
    main()
