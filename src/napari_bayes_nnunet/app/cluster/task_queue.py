"""Tasks for the workers of a Dask cluster, each done exactly once although workers may die."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, Final, Generic, TypeVar
from uuid import uuid4

from distributed import Client, Future, KilledWorker
from distributed.utils import silence_logging_cmgr

from ...core.problems import Action, Remedy, Statement, statement
from .. import AppError
from .connection import check_cluster, connect, count_slots
from .local_cluster import embedded_cluster
from .worker_call import WorkerAnswer, WorkerCall, error_line, run_on_worker

Task = TypeVar("Task")
_Result = TypeVar("_Result")

AHEAD: Final = 2
"""Tasks at the scheduler per slot, so that workers need not wait for this process."""
MOST_ROUNDS: Final = 4
"""Times a task is submitted; each time Dask tries several workers (allowed-failures)."""
_POLL_SECONDS: Final = 1.0
"""Seconds between two checks of the workers."""
NOTICE_SECONDS: Final = 10.0
"""Seconds without a worker after which the user is told."""
GATHER_SECONDS: Final = 10.0
"""Seconds to fetch a result; it takes longer only if its worker has just died."""
PAUSE: Final = 2.0
"""Seconds that an unfit worker waits before it returns a task."""
UNFIT_SECONDS: Final = 300.0
"""Seconds without a fit worker after which the run ends; a network drive may come back."""
REFUSAL_SECONDS: Final = 10.0
"""The same limit if all workers refuse the ensemble or its device."""
GAVE_UP: Final = (
    "Gave up after {deaths} worker failures. The workers may be short of memory, or a GPU may be "
    "faulty."
)
NOT_STARTED: Final = "No worker could start the segmentation ({reason})."


@contextmanager
def open_cluster(
    address: str | None, *, certificates: Path | None = None, device: str = "auto"
) -> Iterator[Client]:
    """Give a client of the scheduler at ``address``, or if None of workers on this computer.

    ``device`` is for the latter, see `embedded_cluster`. Raises AppError.
    """
    cluster = connect(address, certificates=certificates) if address else embedded_cluster(device)
    with silence_logging_cmgr(logging.CRITICAL), cluster as client:
        yield client


def run_tasks(
    client: Client,
    tasks: Iterable[Task],
    work: Callable[[Task], _Result],
    *,
    resources: Mapping[str, float] | None = None,
    folders: Sequence[Path] = (),
    notify: Callable[[Statement | str], None] = lambda sentence: None,
) -> Iterator[tuple[Task, _Result | str]]:
    """Yield each task with the result of ``work``, or a sentence if it failed, as they finish.

    ``work`` is a function of a module that the workers have. ``resources`` are what a task needs
    of those the workers were started with, such as {"GPU": 1}. All workers must see ``folders``
    under the same paths. ``notify`` is called with a sentence for the user. Raises AppError if the
    cluster cannot be used or its scheduler is lost.
    """
    check_cluster(client, folders, resources=resources)
    run = _Run(
        client=client,
        address=client.scheduler_info()["address"],
        tasks=iter(tasks),
        work=work,
        resources=dict(resources or {}),
        folders=tuple(folders),
        notify=notify,
    )
    try:
        yield from run.outcomes()
    finally:
        run.close()


@dataclass(kw_only=True)
class _Attempt(Generic[Task]):
    """Task with the number of rounds in which it was blamed for the death of its workers."""

    task: Task
    rounds: int = 0


@dataclass(kw_only=True)
class _Run(Generic[Task, _Result]):
    """Tasks of one call of `run_tasks`: a few at the scheduler, the others waiting here.

    ``returned`` are those that a worker could not do, ``retries`` those that lost their worker.
    ``unfit`` has the time since which each worker has done no task but returned some.
    """

    client: Client
    address: str
    tasks: Iterator[Task]
    work: Callable[[Task], _Result]
    resources: dict[str, float]
    folders: tuple[Path, ...]
    notify: Callable[[Statement | str], None]
    running: dict[Future[Any], _Attempt[Task]] = field(default_factory=dict)
    returned: deque[_Attempt[Task]] = field(default_factory=deque)
    retries: deque[_Attempt[Task]] = field(default_factory=deque)
    ended: SimpleQueue[Future[Any]] = field(default_factory=SimpleQueue)
    slots: dict[str, int] = field(default_factory=dict)
    notified: set[str] = field(default_factory=set)
    unfit: dict[str, float] = field(default_factory=dict)
    checked_at: float = 0.0
    idle_since: float | None = None

    def outcomes(self) -> Iterator[tuple[Task, _Result | str]]:
        """Yield each task with its result, or with a sentence if it failed."""
        while self._submit_tasks():
            try:
                future = self.ended.get(timeout=_POLL_SECONDS)
            except Empty:
                continue
            yield from self._settle(future)

    def close(self) -> None:
        """Cancel the submitted tasks, unless the scheduler is gone."""
        if self.running and self.client.status == "running":
            with suppress(OSError):
                self.client.cancel(list(self.running))

    def _submit_tasks(self) -> bool:
        """Submit as many tasks as the workers need soon; return False when all have ended."""
        self._check_workers()
        while len(self.running) < max(1, AHEAD * sum(self.slots.values())):
            if (attempt := self._next()) is None:
                break
            self._submit(attempt)
        return bool(self.running)

    def _next(self) -> _Attempt[Task] | None:
        """Return the next task; tasks that lost their worker come last, and alone.

        Dask blames the death of a worker on all its tasks, even those that only waited there, so
        that a task that needs too much memory would fail others with it.
        """
        if self.returned:
            return self.returned.popleft()
        for task in self.tasks:
            return _Attempt(task=task)
        return self.retries.popleft() if self.retries and not self.running else None

    def _submit(self, attempt: _Attempt[Task]) -> None:
        call = WorkerCall(work=self.work, task=attempt.task, folders=self.folders, pause=PAUSE)
        future = self.client.submit(
            run_on_worker,
            call,
            key=f"study-{uuid4().hex}",  # Dask logs keys, so they must not name a patient
            resources=self.resources or None,
        )
        self.running[future] = attempt
        future.add_done_callback(self.ended.put)

    def _settle(self, future: Future[Any]) -> Iterator[tuple[Task, _Result | str]]:
        """Yield the task with its outcome, unless it is tried again."""
        attempt = self.running[future]
        try:
            answer: WorkerAnswer[_Result] = future.result(timeout=GATHER_SECONDS)
        except TimeoutError:  # its worker died with the result, and another worker repeats it
            future.add_done_callback(self.ended.put)
            return
        except KilledWorker as error:
            del self.running[future]
            attempt.rounds += 1
            if attempt.rounds < MOST_ROUNDS:
                self.retries.append(attempt)
            else:
                deaths = attempt.rounds * (error.allowed_failures + 1)
                yield attempt.task, GAVE_UP.format(deaths=deaths)
            return
        except CancelledError as error:
            raise self._lost() from error
        except Exception as error:  # an error of Dask itself, such as in unpickling the task
            answer = WorkerAnswer(failure=NOT_STARTED.format(reason=error_line(error)))
        del self.running[future]
        future.release()
        if answer.unfit:
            self.returned.append(attempt)
            self._note_unfit(answer)
        else:
            self.unfit.pop(answer.worker, None)
            yield attempt.task, answer.failure or answer.result

    def _note_unfit(self, answer: WorkerAnswer[_Result]) -> None:
        """Notify the user once of each reason why a worker has returned a task.

        Raises AppError if all workers have done nothing else for too long.
        """
        if answer.unfit not in self.notified:
            self.notified.add(answer.unfit)
            self.notify(answer.unfit)
        now, patience = monotonic(), REFUSAL_SECONDS if answer.refuses else UNFIT_SECONDS
        self.unfit.setdefault(answer.worker, now)
        since = [self.unfit.get(worker, now) for worker, count in self.slots.items() if count]
        if since and now - max(since) > patience:
            raise AppError(
                "{reason} No worker can continue, but finished studies are kept.",
                Action.CONTINUE,
                reason=answer.unfit,
            )

    def _check_workers(self) -> None:
        """Update the slots, and notify the user if there have been none for a while."""
        if self.client.status != "running":
            raise self._lost()
        if monotonic() - self.checked_at < _POLL_SECONDS:
            return
        try:
            self.slots = count_slots(self.client, self.resources)
        except OSError as error:
            raise self._lost() from error
        self.checked_at = monotonic()
        if any(self.slots.values()):
            self.idle_since = None
        elif self.idle_since is None:
            self.idle_since = self.checked_at
        elif self.checked_at - self.idle_since > NOTICE_SECONDS:
            self.idle_since = math.inf  # so that the user is told once
            self.notify(self._waiting())

    def _waiting(self) -> Statement:
        offer = " ".join(f"{name}={amount:g}" for name, amount in self.resources.items())
        option = f' --resources "{offer}"' if offer else ""
        command = f"dask worker {self.address} --nthreads 1{option}"
        return statement(
            "Waiting for a worker{resources} at {address}.",
            Remedy(Action.RUN, {"command": command}),
            address=self.address,
            resources=offer and f" with {offer}",
        )

    def _lost(self) -> AppError:
        return AppError(
            "The scheduler at {address} is gone, but finished studies are kept.",
            Action.CONTINUE,
            address=self.address,
        )
