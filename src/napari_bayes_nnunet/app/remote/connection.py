"""Connection to a `RemoteRun` on a Dask worker.

All data pass through the scheduler, so nothing else on the other computer must be reachable.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from functools import partial
from time import perf_counter
from typing import Any

from ...io.files.given_path import expand_home
from ...nnunet import Stopped
from .. import AppError
from ..cluster.connection import check_cluster, connect
from ..cluster.worker_call import error_line
from .actor import Failure, RemoteRun, RunDropped, call_run, describe_worker, has_run
from .device import RemoteDevice

_POLL_SECONDS = 0.05
"""Seconds between two checks for a request to stop."""
HEARTBEAT_SECONDS = 2.0
SILENCE_LIMIT = 12.0
"""Seconds without an answer of the scheduler after which the connection counts as lost."""
PRIORITY = 100
"""Dask priority, above that of cohorts, because a user is waiting."""
CONNECTION_LOST = (
    "The connection to {address} was lost. Check that its scheduler and worker are running and "
    "that the network works, then try again."
)
NO_WORKERS = "The scheduler at {address} has no workers. Start a worker on that computer."


def never_stop() -> bool:
    """Return False: do not stop."""
    return False


class RemoteConnection:
    """Connection to the scheduler; ``open`` starts a run on the least busy ``worker``.

    Raises AppError if there is no connection.
    """

    def __init__(self, device: RemoteDevice) -> None:
        self._address = device.address
        certificates = expand_home(device.certificates) if device.certificates else None
        self._client = connect(device.address, certificates=certificates)
        self._pool = ThreadPoolExecutor(3, thread_name_prefix="remote")
        self._key = f"bayes-nnunet-{uuid.uuid4().hex}"
        self._run: Any = None
        self.worker = ""

    def describe_workers(self) -> str:
        """Return a sentence with the number of workers and the device of the first."""
        workers = self._workers(never_stop)
        work = partial(self._client.run, describe_worker, workers=workers[:1])
        device = self._result(self._pool.submit(work), never_stop).get(workers[0])
        if device is None:  # the worker has just died
            raise self._lost()
        count = len(workers)
        return f"{count} workers, the first with {device}." if count > 1 else f"1 worker: {device}."

    def open(self, should_stop: Callable[[], bool] = never_stop) -> None:
        """Wait until a worker has started the run."""
        workers = self._workers(should_stop)
        self._run = self._client.submit(  # Dask keeps the run as long as this reference exists
            *(RemoteRun, self._key),
            actor=True,
            key=self._key,
            pure=False,
            workers=workers,  # Dask chooses the one with the fewest runs
            priority=PRIORITY,
        )
        error = self._result(self._pool.submit(self._run.exception), should_stop)
        if error is not None:
            raise AppError(
                "The worker at {address} could not start the segmentation ({reason}). See its log "
                "for details.",
                address=self._address,
                reason=error_line(error),
            )
        workers_of = self._result(self._pool.submit(self._client.who_has, [self._run]), should_stop)
        if not workers_of[self._key]:  # the worker has just died
            raise self._lost()
        (self.worker,) = workers_of[self._key]

    def call(
        self, method: str, *arguments: Any, should_stop: Callable[[], bool] = never_stop
    ) -> Any:
        """Call a method of the run and return its result.

        Raises what the method raises, and AppError if the connection is lost.
        """
        return self.wait_for(self.send(method, *arguments), should_stop)

    def send(self, method: str, *arguments: Any) -> Future[Any]:
        """Call a method of the run without waiting for its result."""
        return self._pool.submit(self._call, method, *arguments)

    def wait_for(self, sent: Future[Any], should_stop: Callable[[], bool] = never_stop) -> Any:
        """Wait for the result of a call. Raises Stopped once ``should_stop`` returns True."""
        answer = self._result(sent, should_stop)
        if isinstance(answer, RunDropped):
            raise self._lost()
        if isinstance(answer, Failure):
            raise answer.error
        return answer

    def is_alive(self) -> bool:
        """Return whether the scheduler and the worker of the run still answer."""
        try:
            return self._client.status == "running" and self._result(
                self._pool.submit(self._has_run), never_stop
            )
        except AppError:
            return False

    def close(self) -> None:
        """Drop the run, which stops it."""
        self._pool.submit(self._client.close)  # takes seconds if the scheduler does not answer
        self._pool.shutdown(wait=False)

    def _workers(self, should_stop: Callable[[], bool]) -> list[str]:
        """Return the addresses of the workers. Raises AppError if their version differs."""
        workers = list(self._result(self._pool.submit(self._client.nthreads), should_stop))
        if not workers:
            raise AppError(NO_WORKERS, address=self._address)
        self._result(self._pool.submit(check_cluster, self._client), should_stop)
        return workers

    def _call(self, method: str, *arguments: Any) -> Any:
        worker = self.worker
        answers = self._client.run(call_run, self._key, method, *arguments, workers=[worker])
        return answers[worker]

    def _has_run(self) -> bool:
        """Ask the worker whether it still has the run, or the scheduler before it is started."""
        if not self.worker:
            return bool(self._client.scheduler_info())
        return bool(self._client.run(has_run, self._key, workers=[self.worker])[self.worker])

    def _result(self, future: Future[Any], should_stop: Callable[[], bool]) -> Any:
        """Wait for a result as long as the scheduler answers heartbeats."""
        last_answer = perf_counter()
        heartbeat: Future[Any] | None = None
        while not wait([future], _POLL_SECONDS).done:
            if should_stop():
                raise Stopped
            now = perf_counter()
            if heartbeat is not None and heartbeat.done():
                if not self._unless_lost(heartbeat):
                    raise self._lost()
                heartbeat, last_answer = None, now
            elif heartbeat is None and now - last_answer >= HEARTBEAT_SECONDS:
                heartbeat = self._pool.submit(self._has_run)
            if now - last_answer > SILENCE_LIMIT:
                raise self._lost()
        return self._unless_lost(future)

    def _unless_lost(self, done: Future[Any]) -> Any:
        try:
            return done.result()
        except AppError:
            raise
        except (Exception, CancelledError) as error:  # a failed method returns a Failure instead
            raise self._lost() from error

    def _lost(self) -> AppError:
        return AppError(CONNECTION_LOST, address=self._address)


def describe_workers(device: RemoteDevice) -> str:
    """Return a sentence that describes the workers. Raises AppError if they cannot be used."""
    connection = RemoteConnection(device)
    try:
        return connection.describe_workers()
    finally:
        connection.close()
