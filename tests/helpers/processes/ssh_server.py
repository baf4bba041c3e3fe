"""Real ssh server on this machine, with keys, settings and known hosts of its own."""

import getpass
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from .command import environment
from .jobs import wait_until

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
SERVER = """\
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
SetEnv {variables}
"""
CLIENT = """\
UserKnownHostsFile {folder}/known_hosts
GlobalKnownHostsFile /dev/null
IdentityFile {folder}/key
IdentitiesOnly yes
IdentityAgent none
"""


class SshServer:
    """Server in ``folder``, whose ``bin`` has an ``ssh`` that knows it and no file of the user.

    Those who log in find `bayes-nnunet` on their PATH, and ``cache`` as their folder for caches.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.cache = folder, folder / "cache"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        for name in ("host_key", "key", "other_key"):
            self.make_key(name)
        self.know_host()
        there, self.bin = folder / "there", folder / "bin"
        script(there / "bayes-nnunet", f'exec {sys.executable} -P -m napari_bayes_nnunet "$@"')
        script(self.bin / "ssh", f'exec {shutil.which("ssh")} -F {folder}/client "$@"')
        variables = {
            "PATH": f"{there}:/usr/bin:/bin",
            "PYTHONPATH": environment().get("PYTHONPATH", ""),
            "OMP_NUM_THREADS": "1",
            "XDG_CACHE_HOME": self.cache,
        }
        words = " ".join(f"{name}={value}" for name, value in variables.items())
        text = SERVER.format(port=self.port, folder=folder, variables=words)
        (folder / "server").write_text(text)
        (folder / "client").write_text(CLIENT.format(folder=folder))
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # in which sshd locks up its own child
        self.process = subprocess.Popen(
            [str(SSHD), "-D", "-e", "-f", str(folder / "server")], stderr=subprocess.DEVNULL
        )
        wait_until(self._answers)

    @property
    def address(self) -> str:
        return self.address_at(self.port)

    def address_at(self, port: int) -> str:
        """Return the address of the server behind a port."""
        return f"ssh://{getpass.getuser()}@127.0.0.1:{port}"

    def make_key(self, name: str) -> None:
        """Write a new pair of keys over an older one."""
        for file in (self.folder / name, self.folder / f"{name}.pub"):
            file.unlink(missing_ok=True)
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name)]
        subprocess.run(command, check=True)

    def know_host(self) -> None:
        """Make the key of the server known, behind whichever port."""
        key = (self.folder / "host_key.pub").read_text()
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:* {key}")

    def drop_connections(self) -> None:
        """Kill the processes of all connections."""
        for process in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def close(self) -> None:
        self.drop_connections()
        self.process.kill()
        self.process.wait()

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except OSError:
            return False
        return True


def script(file: Path, commands: str) -> None:
    """Write a program that runs commands of a shell."""
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\n{commands}\n")
    file.chmod(0o755)


@contextmanager
def ssh_server(folder: Path) -> Iterator[SshServer]:
    """Start a server, and end it with the block."""
    if SSHD is None:
        pytest.skip("needs the ssh server of OpenSSH")
    folder.mkdir(exist_ok=True)
    made = SshServer(folder)
    try:
        yield made
    finally:
        made.close()
