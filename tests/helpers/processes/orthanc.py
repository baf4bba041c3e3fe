"""A real Orthanc, which speaks DICOMweb, on this machine."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from .jobs import wait_until

ORTHANC: Final = shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin:/usr/bin")
PLUGIN: Final = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
HOST: Final = "127.0.0.1"


@contextmanager
def run_orthanc(folder: Path, **settings: Any) -> Iterator[int]:
    """Run an Orthanc that keeps its files below ``folder``, and yield its port.

    ``settings`` are those of its configuration, such as ``MaximumStorageSize``.
    """
    if ORTHANC is None or not PLUGIN.exists():
        pytest.skip("needs Orthanc with its DICOMweb plugin")
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    configuration = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "HttpPort": port,
        "DicomServerEnabled": False,
        "AuthenticationEnabled": False,
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    folder.mkdir(exist_ok=True)
    file = folder / "orthanc.json"
    file.write_text(json.dumps(configuration | settings))
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen([ORTHANC, str(file)], stdout=log, stderr=log)

    def answers() -> bool:
        assert process.poll() is None, (folder / "orthanc.log").read_text()
        try:
            socket.create_connection((HOST, port)).close()
        except OSError:
            return False
        return True

    try:
        wait_until(answers)
        yield port
    finally:
        process.kill()  # it would take two seconds to end by itself
        process.wait()


def make_certificate(folder: Path, host: str) -> ssl.SSLContext:
    """Write ``ca.pem``, a certificate for ``host`` that is its own authority, and serve by it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now()
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir()
    (folder / "ca.pem").write_bytes(made.public_bytes(Encoding.PEM))
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key.pem").write_bytes(secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return context


@contextmanager
def serve_answer(
    body: bytes, context: ssl.SSLContext | None = None, *, status: int = 200
) -> Iterator[HTTPServer]:
    """Answer each request with ``body``, by TLS with a ``context``: Debian's Orthanc crashes then.

    Authorisations that arrive are kept in ``authorisations`` of the server.
    """

    class Site(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            server.authorisations.append(self.headers["Authorization"])
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

    with HTTPServer((HOST, 0), Site) as server:
        server.authorisations = []
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
