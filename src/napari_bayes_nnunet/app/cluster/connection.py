"""Connection to a Dask cluster, plain (tcp://) or encrypted and authenticated (tls://)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from distributed import Client, Security
from distributed.utils import sync

from ... import __version__
from .. import AppError
from .worker_call import error_line, worker_problem

if TYPE_CHECKING:
    from distributed import Scheduler

CERTIFICATES: Final = {"tls_ca_file": "ca.pem", "tls_client_cert": "cert.pem",
                       "tls_client_key": "key.pem"}  # fmt: skip
"""Argument of `Security` → name of the file in a folder of certificates."""
PROTOCOLS: Final = ("tcp", "tls")
CONNECTION_TIMEOUT: Final = 10.0
"""Seconds."""
HANDSHAKE_TIMEOUT: Final = 2.0
"""Further seconds for the other side to identify itself as a scheduler."""
NO_SCHEDULER: Final = (
    "No Dask scheduler answered at {address} ({reason}). Check that it is running, and that both "
    "sides use certificates of the same authority, or none."
)
NEEDS_CERTIFICATES: Final = (
    "A tls:// address needs certificates. Choose the folder with ca.pem, cert.pem and key.pem, or "
    "set them in Dask's configuration (distributed.comm.tls)."
)


def connect(
    address: str, *, certificates: Path | None = None, timeout: float = CONNECTION_TIMEOUT
) -> Client:
    """Return a client of the scheduler at ``address``, such as "tls://server:8786".

    ``certificates`` is a folder with ca.pem, cert.pem and key.pem; by default those in Dask's
    configuration are used. Raises AppError if there is no such scheduler or it refuses.
    """
    check_address(address)
    security = read_certificates(certificates) if address.startswith("tls:") else None
    try:
        return _Client(  # type: ignore[no-untyped-call]
            address, security=security, timeout=timeout, set_as_default=False
        )
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        reason = str(error).rpartition(">: ")[2] or type(error).__name__  # without Dask's objects
        raise AppError(NO_SCHEDULER, address=address, reason=reason) from error


class _Client(Client):
    """Client that gives up in time, whatever listens there, and then leaves no thread behind."""

    def start(self, **options: Any) -> None:
        """Connect within a time limit, as Dask's own does not cover a silent port."""
        self._loop_runner.start()
        limit = options["timeout"] + HANDSHAKE_TIMEOUT
        try:
            sync(self._loop_runner.loop, self._start, callback_timeout=limit, **options)
        except BaseException:
            self.status = "closed"  # otherwise it would be closed again, by a loop that has ended
            self._loop_runner.stop()
            raise


def check_address(address: str) -> None:
    """Raise AppError unless the address is like "tls://server:8786"."""
    protocol, _, host_and_port = address.partition("://")
    host, _, port = host_and_port.rpartition(":")
    if protocol not in PROTOCOLS or not host or not port.isdigit() or not 0 < int(port) < 2**16:
        raise AppError(
            "{address!r} is not the address of a scheduler. Use one like tls://server:8786 or "
            "tcp://server:8786.",
            address=address,
        )


def read_certificates(folder: Path | None) -> Security:
    """Return the certificates in a folder, or those of Dask's configuration. Raises AppError."""
    if folder is None:
        security = Security(require_encryption=True)
        if not security.get_connection_args("client").get("ssl_context"):
            raise AppError(NEEDS_CERTIFICATES)
        return security
    files = {key: folder / name for key, name in CERTIFICATES.items()}
    if missing := [file.name for file in files.values() if not file.is_file()]:
        raise AppError(
            "The folder of certificates {folder} lacks {file}. Add the file or choose another "
            "folder.",
            folder=folder,
            file=missing[0],
        )
    security = Security(require_encryption=True, **{key: str(file) for key, file in files.items()})
    try:
        security.get_connection_args("client")
    except OSError as error:
        raise AppError(
            "The certificates in {folder} cannot be used ({reason}). Check that key.pem belongs to "
            "cert.pem, and cert.pem to ca.pem.",
            folder=folder,
            reason=error,
        ) from error
    return security


def check_cluster(
    client: Client, folders: Sequence[Path] = (), *, resources: Mapping[str, float] | None = None
) -> None:
    """Raise AppError unless scheduler and workers have this version and see the ``folders``.

    Workers that do not offer the ``resources`` are not checked, because they get no tasks.
    """
    _check("The scheduler", _ask_scheduler(client))
    slots = count_slots(client, resources or {})
    workers = [worker for worker, count in slots.items() if count]
    answers = client.run(
        worker_problem, __version__, tuple(folders), workers=workers, on_error="return"
    )
    for worker, answer in answers.items():
        _check(f"The worker {worker}", answer)


def count_slots(client: Client, resources: Mapping[str, float]) -> dict[str, int]:
    """Return worker → number of tasks needing ``resources`` that it can run at once."""
    slots: dict[str, int] = client.run_on_scheduler(slots_on_scheduler, dict(resources))
    return slots


def slots_on_scheduler(
    resources: Mapping[str, float], *, dask_scheduler: Scheduler
) -> dict[str, int]:
    """Return the slots of `count_slots`, on the scheduler; workers that are not running have 0."""
    running = dask_scheduler.running
    return {
        address: min([worker.nthreads, *(int(worker.resources.get(name, 0) // amount)
                                         for name, amount in resources.items() if amount > 0)])
        if worker in running else 0
        for address, worker in dask_scheduler.workers.items()
    }  # fmt: skip


def _ask_scheduler(client: Client) -> str | Exception:
    try:
        return str(client.run_on_scheduler(worker_problem, __version__))
    except Exception as error:  # any error of unpickling a function of a missing package
        return error


def _check(process: str, answer: str | Exception) -> None:
    if isinstance(answer, OSError):  # the worker has died meanwhile
        return
    if isinstance(answer, Exception):
        raise AppError(
            "{process} cannot use napari-bayes-nnunet ({reason}). Install version {version} there, "
            "as on this computer.",
            process=process,
            reason=error_line(answer),
            version=__version__,
        )
    if answer:
        raise AppError("{problem}", problem=answer)
