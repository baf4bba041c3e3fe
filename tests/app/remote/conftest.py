"""Fixture of an ssh server, which stands for another computer."""

import os
from collections.abc import Iterator

import pytest

from ...helpers.processes.ssh_server import SshServer, ssh_server


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[SshServer]:
    with ssh_server(tmp_path_factory.mktemp("server")) as made, pytest.MonkeyPatch.context() as own:
        own.setenv("PATH", f"{made.bin}{os.pathsep}{os.environ['PATH']}")
        yield made
