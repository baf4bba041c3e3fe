"""The line to a `RemoteRun` on a Dask worker.

All passes through the scheduler: nothing else of the other computer need be reachable.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from ...nnunet import Stopped
from .. import AppError
from ..cluster.connection import check_cluster, connect
from .actor import Failure, RemoteRun, call, describe, holds
from .device import RemoteDevice

_LOOKS_EVERY = 0.05
"""Seconds until a wish to stop is seen."""
BEATS_EVERY = 2.0
SILENT_FOR = 12.0
"""Seconds without an answer of the scheduler after which the line counts as cut."""
SOONER = 100
"""Priority of the work somebody is waiting for, over that of folders of studies."""


def never() -> bool:
    """Nobody wants to stop."""
    return False


class RemoteConnection:
    """Connects to the scheduler; ``open`` takes a run of its own on the least busy ``worker``.

    Raises AppError, one sentence, where that is not possible.
    """

    def __init__(self, device: RemoteDevice) -> None:
        self._address = device.address
        certificates = Path(device.certificates).expanduser() if device.certificates else None
        self._client = connect(device.address, certificates=certificates)
        self._pool = ThreadPoolExecutor(3, thread_name_prefix="remote")
        self._key = f"bayes-nnunet-{uuid.uuid4().hex}"
        self._run: Any = None
        self.worker = ""

    def what_is_there(self) -> str:
        """A sentence on the workers there and the device of the first."""
        workers = self._workers(never)
        work = partial(self._client.run, describe, workers=workers[:1])
        device = self._result(self._pool.submit(work), never).get(workers[0])
        if device is None:  # it died just then
            raise AppError(self._lost())
        count = len(workers)
        first = f"{count} workers; the first has" if count > 1 else "1 worker; it has"
        return f"{first} {device}."

    def open(self, should_stop: Callable[[], bool] = never) -> None:
        """Wait for a worker to take the run."""
        workers = self._workers(should_stop)
        self._run = self._client.submit(  # as long as it is referred to here, Dask keeps it
            *(RemoteRun, self._key),
            actor=True,
            key=self._key,
            pure=False,
            workers=workers,  # of those that are named, Dask takes the one with the fewest runs
            priority=SOONER,
        )
        error = self._result(self._pool.submit(self._run.exception), should_stop)
        if error is not None:
            raise AppError(f"{self._address} could not begin ({type(error).__name__}: {error}).")
        there = self._result(self._pool.submit(self._client.who_has, [self._run]), should_stop)
        if not there[self._key]:  # its worker died just then
            raise AppError(self._lost())
        (self.worker,) = there[self._key]

    def ask(self, method: str, *arguments: Any, should_stop: Callable[[], bool] = never) -> Any:
        """What a method of the run answers; raises what it raises, and AppError when it is lost."""
        return self.answer(self.send(method, *arguments), should_stop)

    def send(self, method: str, *arguments: Any) -> Future[Any]:
        """Ask without waiting; ``answer`` does that."""
        return self._pool.submit(self._call, method, *arguments)

    def answer(self, sent: Future[Any], should_stop: Callable[[], bool] = never) -> Any:
        """What was answered. Raises Stopped as soon as ``should_stop`` says so."""
        answer = self._result(sent, should_stop)
        if isinstance(answer, Failure):
            raise answer.error
        return answer

    def is_there(self) -> bool:
        """Whether the run can be asked: neither scheduler nor worker have gone meanwhile."""
        try:
            return self._client.status == "running" and self._result(
                self._pool.submit(self._is_held), never
            )
        except AppError:
            return False

    def close(self) -> None:
        """Let go of the run, which stops what it does."""
        self._pool.submit(self._client.close)  # takes seconds where nobody answers any more
        self._pool.shutdown(wait=False)

    def _workers(self, should_stop: Callable[[], bool]) -> list[str]:
        """Their addresses. Raises AppError where they do not have this version of this package."""
        workers = list(self._result(self._pool.submit(self._client.nthreads), should_stop))
        if not workers:
            raise AppError(f"The scheduler at {self._address} has no workers yet: start one there.")
        self._result(self._pool.submit(check_cluster, self._client), should_stop)
        return workers

    def _call(self, method: str, *arguments: Any) -> Any:
        worker = self.worker
        answers = self._client.run(call, self._key, method, *arguments, workers=[worker])
        return answers[worker]

    def _is_held(self) -> bool:
        """Ask the worker whether it still has the run; before there is one, the scheduler."""
        if not self.worker:
            return bool(self._client.scheduler_info())
        return bool(self._client.run(holds, self._key, workers=[self.worker])[self.worker])

    def _result(self, coming: Future[Any], should_stop: Callable[[], bool]) -> Any:
        """Wait for it as long as the scheduler answers at all."""
        heard = perf_counter()
        beat: Future[Any] | None = None
        while not wait([coming], _LOOKS_EVERY).done:
            if should_stop():
                raise Stopped
            now = perf_counter()
            if beat is not None and beat.done():
                if not self._unless_lost(beat):
                    raise AppError(self._lost())
                beat, heard = None, now
            elif beat is None and now - heard >= BEATS_EVERY:
                beat = self._pool.submit(self._is_held)
            if now - heard > SILENT_FOR:
                raise AppError(self._lost())
        return self._unless_lost(coming)

    def _unless_lost(self, done: Future[Any]) -> Any:
        try:
            return done.result()
        except AppError:
            raise
        except (Exception, CancelledError) as error:  # work fails with a Failure, lines with these
            raise AppError(self._lost()) from error

    def _lost(self) -> str:
        return (
            f"The connection to {self._address} was lost: see whether its scheduler and worker "
            "still run and the network is there, then try again."
        )


def what_is_there(device: RemoteDevice) -> str:
    """A sentence on the workers there. Raises AppError where they cannot be used."""
    connection = RemoteConnection(device)
    try:
        return connection.what_is_there()
    finally:
        connection.close()
