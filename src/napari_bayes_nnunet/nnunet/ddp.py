"""Training on several cards, with nnU-Net's own command for it (distributed data parallel, DDP).

The training's process starts ``python -m napari_bayes_nnunet.nnunet.ddp``, which starts one process
a card. These run in a session of their own, so that Ctrl-C in the terminal reaches the first alone.
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
from ..io.ensemble.run_folder import EpochReport, RunFolder
from . import ModelError
from .device import training_environment
from .planning import workspace_environment
from .ranks import PARENT_VARIABLE, Mailbox, end_with_parent
from .trainer import RUN_VARIABLE, CheckpointEnsembleTrainer, TrainingStopped, trainer_environment
from .weights import read_checkpoint

POLL_SECONDS = 0.2


def check_cards(gpus: int, *, device: str, batch_size: int) -> None:
    """Raise ModelError where nnU-Net cannot train on ``gpus`` cards, in a sentence that says why.

    ``device`` is the one asked for: "auto", "cuda", "cuda:1", "mps" or "cpu".
    """
    if device.startswith("cuda:"):
        raise ModelError(
            f"--num-gpus {gpus} takes the first {gpus} cards: leave out --device {device}, and "
            "choose cards with the variable CUDA_VISIBLE_DEVICES."
        )
    if device not in ("auto", "cuda"):
        raise ModelError(
            f"Only CUDA cards can share a training: leave out --num-gpus {gpus}, or --device "
            f"{device}."
        )
    found = torch.cuda.device_count()
    if found < gpus:
        raise ModelError(
            f"--num-gpus {gpus} needs {gpus} CUDA cards, but this machine has {found}: ask for "
            "fewer, or leave it out."
        )
    if not (torch.distributed.is_available() and torch.distributed.is_nccl_available()):
        raise ModelError(
            "This installation of torch cannot train on several cards (it lacks NCCL, which Linux "
            "has): leave out --num-gpus."
        )
    if batch_size % gpus:  # nnU-Net's Dice loss gathers tensors of one size from all cards
        raise ModelError(
            f"A batch of {batch_size} cannot be shared equally among {gpus} cards: choose a "
            f"--batch-size that is a multiple of {gpus}, or another --num-gpus."
        )


def ddp_command(
    dataset_name: str, configuration: str, fold: str, *, plans: str, gpus: int, resume: bool
) -> list[str]:
    """The command that trains on ``gpus`` cards; nnU-Net's own, in a process that ends with us."""
    return [
        *python_command(__name__, dataset_name, configuration, fold),
        *("-tr", CheckpointEnsembleTrainer.__name__),
        *("-p", plans),
        *("-num_gpus", str(gpus)),
        *(["--c"] if resume else []),
    ]


def ddp_environment(run: Path, workspace: Path) -> dict[str, str]:
    """What the command needs beside the variables of this process, with which it ends."""
    return {
        **workspace_environment(workspace),
        **trainer_environment(run),
        **training_environment(torch.device("cuda")),
        PARENT_VARIABLE: str(os.getpid()),
    }


def saved_epoch(run: RunFolder, fold: str) -> int:
    """The epoch a training that goes on begins with: nnU-Net takes the first of these states."""
    for name in ("checkpoint_final.pth", "checkpoint_latest.pth", "checkpoint_best.pth"):
        file = run.fold(fold) / name
        if file.is_file():
            return int(read_checkpoint(file)["current_epoch"])
    return 0


def train_on_cards(
    command: list[str],
    environment: dict[str, str],
    *,
    run: RunFolder,
    fold: str,
    on_epoch: Callable[[EpochReport], None],
    stop_requested: Callable[[], bool],
) -> None:
    """Run ``command`` to its end, as a trainer's ``run_training`` would.

    ``on_epoch`` receives a report of every epoch; once ``stop_requested`` is true the training is
    asked to stop by the file RUN/stop. Raises TrainingStopped, or ModelError with the sentence of
    the process that failed, whose traceback goes where this process's errors go.
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
        raise ModelError(failure or _how_it_ended(code))
    if stopped:
        raise TrainingStopped


@contextmanager
def _running(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The started command; what still runs at the end is killed, with all processes it started."""
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


def _how_it_ended(code: int) -> str:
    how = f"by {signal.Signals(-code).name}" if code < 0 else f"with the exit code {code}"
    return (
        f"The training on several cards was ended {how}, as it is where memory runs out. Details "
        "are in train.log; go on with --resume."
    )


def main() -> None:
    """Run nnU-Net's training command with this process's arguments; say why it failed."""
    from nnunetv2.run.run_training import run_training_entry

    mailbox = Mailbox(RunFolder(Path(os.environ[RUN_VARIABLE])), sys.argv[3])
    try:
        run_training_entry()
    except Exception as error:
        mailbox.note_failure(failure_sentence(error))
        raise


def failure_sentence(error: Exception) -> str:
    """A sentence for what ended the processes: torch raises with the traceback of one as text."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    ours = f"{ModelError.__module__}.{ModelError.__name__}: "
    if reason.startswith(ours):
        return reason.removeprefix(ours)
    return (
        f"A process of the training on several cards failed: {reason.rstrip('.')}. Details are in "
        "train.log; go on with --resume."
    )


if __name__ in ("__main__", "__mp_main__"):
    # Processes spawned under this command, by those on the cards too, import it before they begin.
    end_with_parent()
if __name__ == "__main__":
    main()
