"""The version check at the path where version 0.1.0 looks for it.

Dask pickles functions by their path, so that the first question between machines of different
versions must keep the path and the names it had in 0.1.0. All else lives in `cluster.worker_call`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .cluster.worker_call import WorkerAnswer, WorkerCall, run_on_worker, worker_problem

Parcel = WorkerCall


def why_unfit(version: str, folders: Sequence[Path] = ()) -> str:
    """Return why this process cannot work for a command of ``version``; "" if it can."""
    return worker_problem(version, folders)


def open_parcel(parcel: WorkerCall) -> WorkerAnswer[Any]:
    """Answer a call that version 0.1.0 sent: with the sentence on the two versions."""
    return run_on_worker(parcel)
