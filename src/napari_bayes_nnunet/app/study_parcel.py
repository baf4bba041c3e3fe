"""Version check at the import path of version 0.1.0.

Dask pickles functions by import path. The first call between computers of different versions must
therefore keep the path and the names of 0.1.0. The rest is in `cluster.worker_call`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .cluster.worker_call import WorkerAnswer, WorkerCall, run_on_worker, worker_problem

Parcel = WorkerCall


def why_unfit(version: str, folders: Sequence[Path] = ()) -> str:
    """Return a sentence if this process cannot work for a command of ``version``, else ""."""
    return worker_problem(version, folders)


def open_parcel(parcel: WorkerCall) -> WorkerAnswer[Any]:
    """Answer a call of version 0.1.0 with the sentence that names both versions."""
    return run_on_worker(parcel)
