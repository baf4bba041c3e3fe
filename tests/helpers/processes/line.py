"""Network connection between a laptop and a server that can be cut."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Line:
    """Forwarding from a ``port`` of this machine to another one.

    With ``breaks_after``, all connections are cut once after so many bytes, to and fro.
    """

    def __init__(self, to: int) -> None:
        self._to = to
        self.breaks_after = 0
        self._counting = threading.Lock()  # of the bytes of both directions
        self._flows = threading.Event()
        self._flows.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

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
                server = socket.create_connection(("127.0.0.1", self._to))
                self._sockets.append(server)
                for ends in ((laptop, server), (server, laptop)):
                    threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                self._flows.wait()
                with self._counting:
                    left = self.breaks_after
                    self.breaks_after = max(0, left - len(data))
                target.sendall(data[: left or None])
                if 0 < left <= len(data):
                    self.cut()
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)


@contextmanager
def line(to: int) -> Iterator[Line]:
    """Open a line to a port for the duration of the block."""
    made = Line(to)
    try:
        yield made
    finally:
        made.close()
