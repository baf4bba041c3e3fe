"""Whether the processes of a Dask cluster can segment studies, and how many at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from distributed import Client

from ... import __version__
from .. import AppError
from .worker_call import in_a_line, why_unfit

if TYPE_CHECKING:
    from distributed import Scheduler


def check_cluster(
    client: Client, folders: Sequence[Path] = (), *, resources: Mapping[str, float] | None = None
) -> None:
    """Raise AppError unless scheduler and workers have this package and see the ``folders``.

    Workers that do not offer the ``resources`` have other work, and are not asked.
    """
    _check("The scheduler", _asked_scheduler(client))
    try:
        asked = [
            worker for worker, number in count_slots(client, resources or {}).items() if number
        ]
        answers = client.run(
            why_unfit, __version__, tuple(folders), workers=asked, on_error="return"
        )
    except OSError as error:
        raise AppError(f"The scheduler at {address_of(client)} is gone.") from error
    for worker, answer in answers.items():
        _check(f"The worker {worker}", answer)


def address_of(client: Client) -> str:
    """The address of the scheduler."""
    assert client.scheduler is not None
    return str(client.scheduler.address)


def count_slots(client: Client, resources: Mapping[str, float]) -> dict[str, int]:
    """How many tasks that need ``resources`` each worker can have in work at once."""
    found: dict[str, int] = client.run_on_scheduler(slots, dict(resources))
    return found


def slots(resources: Mapping[str, float], *, dask_scheduler: Scheduler) -> dict[str, int]:
    """The same, on the scheduler; those that take none at present have 0."""
    running = dask_scheduler.running
    return {
        address: min([worker.nthreads, *(int(worker.resources.get(name, 0) // amount)
                                         for name, amount in resources.items() if amount > 0)])
        if worker in running else 0
        for address, worker in dask_scheduler.workers.items()
    }  # fmt: skip


def _asked_scheduler(client: Client) -> str | Exception:
    try:
        return str(client.run_on_scheduler(why_unfit, __version__))
    except Exception as error:  # whatever reading a function of a missing package raises
        return error


def _check(who: str, answer: str | Exception) -> None:
    if isinstance(answer, OSError):  # a worker that died meanwhile
        return
    if isinstance(answer, Exception):
        raise AppError(
            f"{who} cannot use napari-bayes-nnunet ({in_a_line(answer)}): install "
            "it there too, in the same version."
        )
    if answer:
        raise AppError(answer)
