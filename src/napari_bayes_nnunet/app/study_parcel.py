"""Version check at the import path of version 0.2.0.

Dask pickles functions by import path. The first call between computers of different versions must
therefore keep this path and name. The rest is in `cluster.worker_call`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .cluster.worker_call import worker_problem


def why_unfit(version: str, folders: Sequence[Path] = ()) -> str:
    """Return a sentence if this process cannot work for a command of ``version``, else ""."""
    return worker_problem(version, folders)
