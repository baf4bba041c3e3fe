"""Studies as tasks of a Dask cluster: none twice and none missing, whatever dies meanwhile."""

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

from .. import AppError
from .connection import address_of, check_cluster, connect, count_slots
from .local_cluster import embedded_cluster
from .worker_call import WorkerAnswer, WorkerCall, in_a_line, run_on_worker

Task = TypeVar("Task")
_Result = TypeVar("_Result")

AHEAD: Final = 2
"""Tasks at the scheduler for each that can run: workers need not wait for this process."""
ROUNDS: Final = 4
"""How often a task is handed in; every time Dask tries several workers (allowed-failures)."""
_LOOKS_EVERY: Final = 1.0
"""Seconds between two looks at which workers there are."""
SAYS_AFTER: Final = 10.0
"""Seconds without any worker after which that is said."""
GATHERS_WITHIN: Final = 10.0
"""Seconds for a result that is there; longer where its worker died just then."""
FIRST_PAUSE: Final = 2.0
LONGEST_PAUSE: Final = 30.0
"""Seconds an unfit worker rests before it gives a task back; twice as long each time."""
AWAY_FOR: Final = 300.0
"""Seconds after which the run ends where no worker is fit: a network drive may come back."""
REFUSED_FOR: Final = 10.0
"""The same where all refuse the ensemble, or its device."""


@contextmanager
def open_cluster(
    address: str | None, *, certificates: Path | None = None, device: str = "auto"
) -> Iterator[Client]:
    """The cluster whose scheduler is at ``address``; None is one of workers on this machine.

    ``device`` is for the latter: see `embedded_cluster`. Raises AppError.
    """
    there = connect(address, certificates=certificates) if address else embedded_cluster(device)
    with silence_logging_cmgr(logging.CRITICAL), there as client:
        yield client


def run_tasks(
    client: Client,
    tasks: Iterable[Task],
    work: Callable[[Task], _Result],
    *,
    resources: Mapping[str, float] | None = None,
    folders: Sequence[Path] = (),
    notify: Callable[[str], None] = lambda sentence: None,
) -> Iterator[tuple[Task, _Result | str]]:
    """What ``work`` makes of every task, in the order of their ends; a sentence where it failed.

    ``work`` is a function of a module, which the workers have installed. ``resources`` is what a
    task needs of those that workers were started with, such as {"GPU": 1}; ``folders`` all workers
    must see under these paths. ``notify`` is told in a sentence what the user should know
    meanwhile. Raises AppError where the cluster cannot be used, or its scheduler is lost.
    """
    check_cluster(client, folders, resources=resources)
    run = _Run(
        client=client,
        address=address_of(client),
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
    """A task, and how often it was handed in and lost its workers.

    ``workers`` are those it is for, none where it is for all.
    """

    task: Task
    rounds: int = 0
    deaths: int = 0
    pause: float = FIRST_PAUSE
    workers: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class _Unfit:
    """Why a worker gave back its last task, since when it does so, and how long that may last."""

    why: str
    since: float
    patience: float


@dataclass(kw_only=True)
class _Run(Generic[Task, _Result]):
    """The tasks of one call: a few at the scheduler, the others waiting here."""

    client: Client
    address: str
    tasks: Iterator[Task]
    work: Callable[[Task], _Result]
    resources: dict[str, float]
    folders: tuple[Path, ...]
    notify: Callable[[str], None]
    running: dict[Future[Any], _Attempt[Task]] = field(default_factory=dict)
    again: deque[_Attempt[Task]] = field(default_factory=deque)
    ended: SimpleQueue[Future[Any]] = field(default_factory=SimpleQueue)
    slots: dict[str, int] = field(default_factory=dict)
    unfit: dict[str, _Unfit] = field(default_factory=dict)
    said: set[tuple[str, str]] = field(default_factory=set)
    looked: float = 0.0
    idle_since: float | None = None

    def outcomes(self) -> Iterator[tuple[Task, _Result | str]]:
        """Every task with its result, or the sentence why there is none."""
        while self._fill():
            try:
                future = self.ended.get(timeout=_LOOKS_EVERY)
            except Empty:
                continue
            yield from self._settle(future)

    def close(self) -> None:
        """Take back what has not begun; nothing where the scheduler is gone."""
        if self.running and self.client.status == "running":
            with suppress(OSError):
                self.client.cancel(list(self.running))

    def _fill(self) -> bool:
        """Hand in as many tasks as the workers can need soon; False when all have ended."""
        self._look()
        while len(self.running) < max(1, AHEAD * sum(self.slots.values())):
            if (attempt := self._next()) is None:
                break
            self._hand_in(attempt)
        return bool(self.running)

    def _next(self) -> _Attempt[Task] | None:
        """The next task; those that lost their workers come last, and alone.

        Dask holds the death of a worker against all tasks it had, also those that only waited
        there: beside the one that takes too much memory, others would be lost with it.
        """
        for task in self.tasks:
            return _Attempt(task=task)
        return self.again.popleft() if self.again and not self.running else None

    def _hand_in(self, attempt: _Attempt[Task]) -> None:
        parcel = WorkerCall(
            work=self.work, task=attempt.task, folders=self.folders, pause=attempt.pause
        )
        future = self.client.submit(
            *(run_on_worker, parcel),
            key=f"study-{uuid4().hex}",  # Dask writes keys into its logs: they must name nobody
            resources=self.resources or None,
            workers=list(attempt.workers) or None,
        )
        self.running[future] = attempt
        future.add_done_callback(self.ended.put)

    def _settle(self, future: Future[Any]) -> Iterator[tuple[Task, _Result | str]]:
        """Yield the task with its outcome, unless it is to be tried again."""
        attempt = self.running.get(future)
        if attempt is None:  # it was handed in anew meanwhile
            return
        try:
            answer: WorkerAnswer[_Result] = future.result(timeout=GATHERS_WITHIN)
        except TimeoutError:  # its worker died with the result, and another makes it anew
            future.add_done_callback(self.ended.put)
            return
        except KilledWorker as error:
            del self.running[future]
            yield from self._after_deaths(attempt, error.allowed_failures + 1)
            return
        except CancelledError as error:
            raise self._lost() from error
        except Exception as error:  # what Dask itself could not do, such as reading the task
            answer = WorkerAnswer(failure=f"No worker could begin ({in_a_line(error)}).")
        del self.running[future]
        future.release()
        if answer.unfit:
            self._note_unfit(answer)
            attempt.pause = min(2 * attempt.pause, LONGEST_PAUSE)
            self._hand_in_elsewhere(attempt)
        else:
            self.unfit.pop(answer.worker, None)
            yield attempt.task, answer.failure or answer.result

    def _note_unfit(self, answer: WorkerAnswer[_Result]) -> None:
        """Remember why a worker gave its task back; said once."""
        before = self.unfit.get(answer.worker)
        self.unfit[answer.worker] = _Unfit(
            why=answer.unfit,
            since=before.since if before else monotonic(),
            patience=REFUSED_FOR if answer.refuses else AWAY_FOR,
        )
        if (answer.worker, answer.unfit) not in self.said:
            self.said.add((answer.worker, answer.unfit))
            self.notify(answer.unfit)

    def _hand_in_elsewhere(self, attempt: _Attempt[Task]) -> None:
        """To a worker that is fit, as far as is known; to any where none is.

        Dask's `allow_other_workers` would also allow those without the resources.
        """
        attempt.workers = frozenset(self._able()) - self.unfit.keys()
        self._hand_in(attempt)

    def _able(self) -> list[str]:
        """The workers that take such tasks, fit or not."""
        return [worker for worker, number in self.slots.items() if number]

    def _after_deaths(
        self, attempt: _Attempt[Task], deaths: int
    ) -> Iterator[tuple[Task, _Result | str]]:
        """Put the task behind all others, or give it up."""
        attempt.rounds += 1
        attempt.deaths += deaths
        if attempt.rounds < ROUNDS:
            self.again.append(attempt)
        else:
            yield (
                attempt.task,
                f"The workers that took it died {attempt.deaths} times: their memory may be too "
                "small for it, or their cards fail.",
            )

    def _look(self) -> None:
        """Count what can run at once, and say it where that has been nothing for a while."""
        if self.client.status != "running":
            raise self._lost()
        if monotonic() - self.looked < _LOOKS_EVERY:
            return
        try:
            self.slots = count_slots(self.client, self.resources)
        except OSError as error:
            raise self._lost() from error
        self.looked = monotonic()
        self.unfit = {name: each for name, each in self.unfit.items() if name in self.slots}
        self._take_from_the_gone()
        able = self._able()
        self._end_unless_fit(able)
        if able:
            self.idle_since = None
        elif self.idle_since is None:
            self.idle_since = self.looked
        elif self.looked - self.idle_since > SAYS_AFTER:
            self.idle_since = math.inf  # said once
            self.notify(self._nobody())

    def _take_from_the_gone(self) -> None:
        """Hand in anew what is for workers that have gone: Dask would wait for them for ever."""
        for future, attempt in list(self.running.items()):
            if attempt.workers and not attempt.workers & self.slots.keys() and not future.done():
                del self.running[future]
                with suppress(OSError):  # the next look says it
                    self.client.cancel([future])
                self._hand_in_elsewhere(attempt)

    def _end_unless_fit(self, able: list[str]) -> None:
        """Raise AppError where all workers have been unfit for too long."""
        unfit = [self.unfit[worker] for worker in able if worker in self.unfit]
        if not unfit or len(unfit) < len(able):
            return
        last = max(unfit, key=lambda each: each.since)
        if self.looked - last.since > max(each.patience for each in unfit):
            raise AppError(
                f"{last.why.rstrip('.')}. No worker can go on: what is finished stays, and "
                "--continue goes on from there."
            )

    def _nobody(self) -> str:
        offer = " ".join(f"{name}={amount:g}" for name, amount in self.resources.items())
        asked = f' --resources "{offer}"' if offer else ""
        which = f"no worker that offers {offer}" if offer else "no worker"
        return (
            f"Waiting: there is {which} at {self.address} now; "
            f"`dask worker {self.address} --nthreads 1{asked}` starts one."
        )

    def _lost(self) -> AppError:
        return AppError(
            f"The scheduler at {self.address} is gone: what is finished stays, and --continue "
            "goes on from there."
        )
