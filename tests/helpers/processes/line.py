"""Network connection between a laptop and a server that counts bytes and can be cut."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Line:
    """Forwarding to ``address``, with the bytes sent in ``up`` and received in ``down``."""

    def __init__(self, address: str) -> None:
        self.protocol, _, target = address.partition("://")
        host, port = target.split(":")
        self._to = (host, int(port))
        self.up = self.down = 0
        self._flows = threading.Event()
        self._flows.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    @property
    def address(self) -> str:
        """Address under which the laptop reaches the server."""
        return f"{self.protocol}://127.0.0.1:{self._listener.getsockname()[1]}"

    def fall_silent(self) -> None:
        """Stop forwarding without closing connections, like a dead tunnel."""
        self._flows.clear()

    def cut(self) -> None:
        """Close all connections."""
        for end in self._sockets:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop forwarding and close all connections."""
        self._flows.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()
        self.cut()
        for end in self._sockets:
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                laptop, _ = self._listener.accept()
                self._sockets.append(laptop)
                server = socket.create_connection(self._to)
                self._sockets.append(server)
                for ends, up in (((laptop, server), True), ((server, laptop), False)):
                    threading.Thread(target=self._carry, args=(*ends, up), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, up: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                self._flows.wait()
                target.sendall(data)
                if up:
                    self.up += len(data)
                else:
                    self.down += len(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)


@contextmanager
def line(address: str) -> Iterator[Line]:
    """Open a line for the duration of the block."""
    made = Line(address)
    try:
        yield made
    finally:
        made.close()
