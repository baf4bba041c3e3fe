"""Cluster on this computer: a scheduler in this process and a worker process for each GPU."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

import dask
from dask.system import CPU_COUNT
from distributed import Client, Nanny, Scheduler, Security, SpecCluster, Worker

from ...core.problems import Action
from .. import AppError
from ..devices import find_devices

HOST: Final = "127.0.0.1"
THREADS: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
CARDS: Final = "CUDA_VISIBLE_DEVICES"


class LocalScheduler(Scheduler):
    """Scheduler without web pages, which any program on this computer could open."""

    def start_http_server(self, *args: Any, **kwargs: Any) -> None:
        """Open no port."""


class LocalWorker(Worker):
    """Worker process without web pages, which leaves the output of the command alone."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command handles Ctrl-C and ends it
        logging.disable()  # Dask would log every start and end in the terminal
        os.dup2(2, 1)  # keep prints of libraries out of the command's output, which is parsed
        super().__init__(*args, **kwargs)

    def start_http_server(self, *args: Any, **kwargs: Any) -> None:
        """Open no port."""


@contextmanager
def embedded_cluster(device: str = "auto") -> Iterator[Client]:
    """Give a client of workers on this computer: one per CUDA GPU with "auto", otherwise one.

    The workers end with this process and restart when they are killed. They communicate through
    TLS with certificates made for this cluster. Raises AppError if they cannot be started.
    """
    security = Security.temporary()
    options = {"host": HOST, "protocol": "tls://", "security": security}
    workers = [
        # Dask's default limit is the memory share of a single core.
        {**options, "nthreads": 1, "memory_limit": 0, "env": env, "worker_class": LocalWorker}
        for env in worker_environments(device)
    ]
    # Dask gives a worker one core, but a worker that is alone should use all.
    cores = {f"distributed.nanny.pre-spawn-environ.{name}": None for name in THREADS}
    try:
        with dask.config.set(cores):
            cluster = _started_whole(
                scheduler={"cls": LocalScheduler, "options": {**options, "port": 0}},
                workers={
                    number: {"cls": Nanny, "options": worker}
                    for number, worker in enumerate(workers)
                },
                security=security,
            )
    except (OSError, RuntimeError) as error:
        raise AppError(
            "The worker processes could not be started ({reason}).",
            Action.START_AGAIN,
            reason=error,
        ) from error
    with cluster, Client(cluster, security=security, set_as_default=False) as client:
        yield client


def _started_whole(**options: Any) -> SpecCluster:
    """Return a new cluster. If Ctrl-C comes meanwhile, end the cluster once it has started.

    Dask can only end a cluster that has started, and would say so in a traceback.
    """
    started: list[SpecCluster] = []
    try:
        with ThreadPoolExecutor(1) as starter:  # which is waited for, also after Ctrl-C
            starter.submit(lambda: started.append(SpecCluster(**options))).result()
    except KeyboardInterrupt:
        for cluster in started:
            cluster.close()
        raise
    return started[0]


def worker_environments(device: str) -> list[dict[str, str]]:
    """Return the environment variables of each worker; of several, each sees one GPU."""
    cards = _visible_cards() if device in ("auto", "cuda") else []
    if not cards:
        return [{}]
    cores = str(max(1, CPU_COUNT // len(cards)))
    share = {name: cores for name in THREADS if name not in os.environ}
    return [{CARDS: card, **share} for card in cards]


def _visible_cards() -> list[str]:
    """Return the GPUs that this process may use, as in `CUDA_VISIBLE_DEVICES`."""
    count = sum(name.startswith("cuda:") for name in find_devices())
    visible = os.environ.get(CARDS)
    return visible.split(",")[:count] if visible else [str(card) for card in range(count)]
