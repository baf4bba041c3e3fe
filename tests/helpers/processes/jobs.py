"""Run folders of trainings that another process has started."""

import json
import time
from collections.abc import Callable
from typing import IO, Any

from napari_bayes_nnunet.app.messages import EpochDone, Message
from napari_bayes_nnunet.app.training.progress import append_message
from napari_bayes_nnunet.app.training.run_state import write_process_record
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder

_HELD: list[IO[str]] = []
"""Locks that this process holds until its end."""


def epoch_done(epoch: int, **changes: Any) -> EpochDone:
    """Return the message of an epoch in a training with four epochs per cycle."""
    return EpochDone(
        **{
            "fold": "0",
            "epoch": epoch,
            "cycle": epoch // 4,
            "learning_rate": 0.01,
            "train_loss": -0.5,
            "val_loss": -0.4,
            "pseudo_dice": {"LV": 0.9},
            "seconds": 2.0,
            "eta_seconds": 20.0 - epoch,
            "member": epoch % 4 == 3,
            **changes,
        }
    )


def say(run: RunFolder, *messages: Message) -> None:
    """Append messages to the progress file of a run."""
    run.path.mkdir(exist_ok=True)
    for message in messages:
        append_message(run.progress, message)


def enter(run: RunFolder, **changes: Any) -> None:
    """Record this process as the trainer of ``run``, or another one through ``changes``.

    As a trainer, it has the lock file open.
    """
    run.path.mkdir(exist_ok=True)
    _HELD.append(run.lock.open("a"))
    write_process_record(run, dataset="data", fold="0", arguments=["--", "data"])
    run.job.write_text(json.dumps({**json.loads(run.job.read_text()), **changes}))


def wait_until(condition: Callable[[], object], *, seconds: float = 60) -> None:
    """Wait until a condition is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"timed out after {seconds} s"
        time.sleep(0.01)
