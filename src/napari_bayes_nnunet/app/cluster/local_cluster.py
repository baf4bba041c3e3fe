"""The cluster of this machine alone: a scheduler in this process and a worker for each device."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import dask
from dask.system import CPU_COUNT
from distributed import Client, Nanny, Scheduler, Security, SpecCluster, Worker

from .. import AppError
from ..devices import find_devices

HOST: Final = "127.0.0.1"
THREADS: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
CARDS: Final = "CUDA_VISIBLE_DEVICES"


class LocalScheduler(Scheduler):
    """A scheduler without web pages: these would be open to every program of the machine."""

    def start_http_server(self, *args: Any, **kwargs: Any) -> None:
        """No port for them."""


class LocalWorker(Worker):
    """A worker process of the command: it has no web pages, and prints nothing among its lines."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command, which ends it
        logging.disable()  # Dask reports every start and end, and they would stand in the terminal
        os.dup2(2, 1)  # what is printed while a study is segmented; the command's lines are read
        super().__init__(*args, **kwargs)

    def start_http_server(self, *args: Any, **kwargs: Any) -> None:
        """No port for them."""


@contextmanager
def embedded_cluster(device: str = "auto") -> Iterator[Client]:
    """A client of workers on this machine: one for each CUDA card with "auto", otherwise one.

    They end with this process, come back when they are killed, and talk through TLS with
    certificates that nobody else has. Raises AppError where they cannot be started.
    """
    security = Security.temporary()
    options = {"host": HOST, "protocol": "tls://", "security": security}
    workers = [
        # Dask's own limit would be one core's share of the memory.
        {**options, "nthreads": 1, "memory_limit": 0, "env": env, "worker_class": LocalWorker}
        for env in worker_environments(device)
    ]
    # Dask gives a worker one core; one that has the machine to itself is to use all.
    cores = {f"distributed.nanny.pre-spawn-environ.{name}": None for name in THREADS}
    try:
        with dask.config.set(cores):
            cluster = SpecCluster(
                scheduler={"cls": LocalScheduler, "options": {**options, "port": 0}},
                workers={
                    number: {"cls": Nanny, "options": worker}
                    for number, worker in enumerate(workers)
                },
                security=security,
            )
    except (OSError, RuntimeError) as error:
        raise AppError(f"The worker processes could not be started ({error}).") from error
    with cluster, Client(cluster, security=security, set_as_default=False) as client:
        yield client


def worker_environments(device: str) -> list[dict[str, str]]:
    """The variables of each worker's process: of several, each sees one card."""
    cards = _cards() if device in ("auto", "cuda") else []
    if not cards:
        return [{}]
    cores = str(max(1, CPU_COUNT // len(cards)))
    share = {name: cores for name in THREADS if name not in os.environ}
    return [{CARDS: card, **share} for card in cards]


def _cards() -> list[str]:
    """The cards this process may use, as `CUDA_VISIBLE_DEVICES` names them."""
    found = sum(name.startswith("cuda:") for name in find_devices())
    visible = os.environ.get(CARDS)
    return visible.split(",")[:found] if visible else [str(card) for card in range(found)]
