"""The connection to a Dask cluster, plain (tcp://) or encrypted and authenticated (tls://)."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any, Final

import dask
from distributed import Client, Security
from distributed.utils import sync

from .. import AppError

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
