"""A host name that moves: new connections lead to another server, old ones stay where they are."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread


class Name:
    """A port that leads to another port."""

    def __init__(self, target: int) -> None:
        self.target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._ends: list[socket.socket] = []

    def serve(self) -> None:
        """Accept connections until the name is closed."""
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self.target))
                except OSError:
                    near.close()
                    continue
                self._ends += [near, far]
                for source, sink in (near, far), (far, near):
                    Thread(target=_pump, args=(source, sink), daemon=True).start()

    def close(self) -> None:
        for each in (self._listener, *self._ends):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def leading_to(target: int) -> Iterator[Name]:
    """Yield a name that leads to a port."""
    name = Name(target)
    thread = Thread(target=name.serve, daemon=True)
    thread.start()
    try:
        yield name
    finally:
        name.close()
        thread.join()
