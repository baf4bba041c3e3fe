"""The connection to a Dask cluster, plain (tcp://) or encrypted and authenticated (tls://)."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dask
from distributed import Client, Security
from distributed.utils import sync

from ... import __version__
from .. import AppError
from ..study_parcel import why_unfit
from .worker_call import in_a_line

if TYPE_CHECKING:
    from distributed import Scheduler

CERTIFICATES: Final = {"tls_ca_file": "ca.pem", "tls_client_cert": "cert.pem",
                       "tls_client_key": "key.pem"}  # fmt: skip
"""What `Security` asks for, and what the files of a folder of certificates are called."""
PROTOCOLS: Final = ("tcp", "tls")
CONNECTS_WITHIN: Final = 10.0
"""Seconds."""
ANSWERS_WITHIN: Final = 2.0
"""Seconds more, for what is connected to say that it is a scheduler."""


def connect(
    address: str, *, certificates: Path | None = None, timeout: float = CONNECTS_WITHIN
) -> Client:
    """A client of the scheduler at ``address``, such as "tls://server:8786".

    ``certificates`` is a folder with ca.pem, cert.pem and key.pem; without it those of Dask's own
    configuration are used. Raises AppError, one sentence, where there is no such scheduler or it
    refuses.
    """
    check_address(address)
    _find_host(address)
    security = security_of(certificates) if address.startswith("tls:") else None
    if security is None and dask.config.get("distributed.comm.require-encryption"):
        raise AppError(
            "Dask's configuration here asks for encryption (distributed.comm.require-encryption): "
            "use the tls:// address of the scheduler."
        )
    try:
        return _Client(  # type: ignore[no-untyped-call]
            address, security=security, timeout=timeout, set_as_default=False
        )
    except (OSError, ValueError, TypeError) as error:
        reason = str(error).rpartition(">: ")[2] or type(error).__name__  # without Dask's objects
        also = "its certificates are of the same authority" if security else "it has no TLS"
        raise AppError(
            f"No Dask scheduler answered at {address} ({reason}): check that it runs there, and "
            f"that {also}."
        ) from error


class _Client(Client):
    """A client that gives up in time, whoever listens there, and then leaves no thread behind."""

    def start(self, **options: Any) -> None:
        """Called by Dask as it is made; its own time limit is not for what answers in no way."""
        self._loop_runner.start()
        limit = options["timeout"] + ANSWERS_WITHIN
        try:
            sync(self._loop_runner.loop, self._start, callback_timeout=limit, **options)
        except BaseException:
            self.status = "closed"  # it is not to be closed again, by a loop that has ended
            self._loop_runner.stop()
            raise

    def close(self, *timeout: float) -> None:
        """End it, also where the line broke in the middle of TLS's greetings."""
        try:
            super().close(*timeout)  # type: ignore[no-untyped-call]
        except (OSError, ValueError):
            self.status = "closed"
            self._loop_runner.stop()


def check_address(address: str) -> None:
    """Raise AppError unless it is like "tls://server:8786"."""
    protocol, _, place = address.partition("://")
    host, _, port = place.rpartition(":")
    if protocol not in PROTOCOLS or not host or not port.isdigit() or not 0 < int(port) < 2**16:
        raise AppError(
            f"The address of a scheduler is like tls://server:8786 or tcp://server:8786, not "
            f"{address!r}."
        )


def _find_host(address: str) -> None:
    """Raise AppError where the network knows no such computer."""
    host = address.partition("://")[2].rpartition(":")[0].strip("[]")
    try:
        socket.getaddrinfo(host, None)
    except OSError as error:
        raise AppError(
            f"No computer called {host} is known in this network ({error.strerror}): check the "
            "address."
        ) from error


def security_of(certificates: Path | None) -> Security:
    """The certificates of a folder, or those of Dask's configuration. Raises AppError."""
    if certificates is None:
        found = Security(require_encryption=True)
        if not found.get_connection_args("client").get("ssl_context"):
            raise AppError(
                "A tls:// address needs certificates: name the folder with ca.pem, cert.pem and "
                "key.pem, or set them in Dask's configuration (distributed.comm.tls)."
            )
        return found
    files = {key: certificates / name for key, name in CERTIFICATES.items()}
    if missing := [file.name for file in files.values() if not file.is_file()]:
        raise AppError(f"{certificates} should hold the certificates; {missing[0]} is missing.")
    found = Security(require_encryption=True, **{key: str(file) for key, file in files.items()})
    try:
        found.get_connection_args("client")
    except OSError as error:
        raise AppError(
            f"The certificates in {certificates} cannot be used ({error}): key.pem must belong to "
            "cert.pem, and cert.pem to ca.pem."
        ) from error
    return found


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
