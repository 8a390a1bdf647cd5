"""A TCP proxy that puts distance between two processes: ``python -m benchmarks.proxy SECONDS PORT=SERVER…``.

Each chunk is noted with the time at which it was read, and passed on when the delay has passed since then. So chunks
follow each other as closely as they came, in both directions: what waits for an answer waits, and what is pipelined
does not. All chunks have the same delay, so they are passed on in the order in which they were read, and a plain
queue will do.

An event loop would round the delay up to whole milliseconds, as ``epoll_wait`` does. ``select`` takes microseconds, and
an epoll descriptor can be waited for like any other.

Found on two cores that were busy with other work: without a delay a PING takes 0.05 ms longer through it, with half a
millisecond each way 1.1 to 1.3 ms longer, in the median. A chunk costs it 20 to 40 microseconds of CPU time.
"""

from __future__ import annotations

import ctypes
import os
import select
import socket
import statistics
import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Self

LIMIT = 300.0
"""Seconds after which it ends, if nobody has ended it."""

CHUNK = 65536

BUSY = 4
"""Chunks that wait: with more, it looks every `TICK`."""

TICK = 0.0001
"""Seconds; by half of it a chunk may pass too early or too late."""

PR_SET_TIMERSLACK = 29
SLACK = 1_000
"""Nanoseconds by which Linux may be late with a timer of this process; by default 50,000."""


class End:
    """One of the two sockets of a connection."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        if connected.family == socket.AF_INET:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = connected
        self.backlog = bytearray()
        """What the socket did not take yet."""
        self.has_ended = False
        """Whether nothing more comes from it."""
        self.other: Self = self

    def send(self, chunk: bytes) -> bool:
        """Pass a chunk on, an empty one to say that there are no more; return whether the socket took all of it."""
        if self.backlog:
            self.backlog += chunk
            return False
        with suppress(OSError):  # it has closed the connection: its own end is read, and told to the other
            if not chunk:
                self.socket.shutdown(socket.SHUT_WR)
            elif (sent := self._send(chunk)) < len(chunk):
                self.backlog += chunk[sent:]
                return False
        return True

    def flush(self) -> bool:
        """Send what is left; return whether that was all."""
        with suppress(OSError):
            del self.backlog[: self._send(self.backlog)]
            if not self.backlog and self.other.has_ended:
                self.socket.shutdown(socket.SHUT_WR)
        return not self.backlog

    def _send(self, chunk: bytes | bytearray) -> int:
        try:
            return self.socket.send(chunk)
        except BlockingIOError:
            return 0


class Proxy:
    """Forwards connections, each chunk with a delay.

    Args:
        delay: seconds, in each direction.
        routes: where each port leads: the path of a Unix socket, or the port of a server on loopback.
    """

    def __init__(self, delay: float, routes: dict[int, str]) -> None:
        self._delay = max(delay - _lateness(), 0.0)
        self._epoll = select.epoll()
        self._listeners: dict[int, tuple[socket.socket, str]] = {}
        self._ends: dict[int, End] = {}
        self._waiting: deque[tuple[float, End, bytes]] = deque()
        for port, server in routes.items():
            listener = socket.create_server(("127.0.0.1", port), backlog=512)
            listener.setblocking(False)
            self._listeners[listener.fileno()] = listener, server
            self._epoll.register(listener, select.EPOLLIN)

    def serve(self, seconds: float) -> None:
        """Forward for so long."""
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            early = self._pass_on(now)
            for descriptor, events in self._epoll.poll(0):
                if descriptor in self._listeners:
                    self._accept(*self._listeners[descriptor])
                elif descriptor in self._ends:
                    self._serve(self._ends[descriptor], events, early)

    def _pass_on(self, now: float) -> float:
        """Pass on what is due, and wait; return the seconds by which what is there now may be there already.

        If little is waiting, each arrival and each departure wakes this process. If much is, it looks every `TICK`: it
        would do little else than wake otherwise, and take the processor from those that are measured.
        """
        is_busy = len(self._waiting) >= BUSY
        while self._waiting and self._waiting[0][0] <= now + is_busy * TICK / 2:
            _, target, chunk = self._waiting.popleft()
            self._deliver(target, chunk)
        if is_busy:
            time.sleep(TICK)
            return TICK / 2
        pause = self._waiting[0][0] - time.monotonic() if self._waiting else 1.0
        if pause > 0:
            select.select([self._epoll], [], [], pause)
        return 0.0

    def _accept(self, listener: socket.socket, server: str) -> None:
        accepted, _ = listener.accept()
        try:
            client = End(accepted)
            client.other = End(_connect(server))
        except OSError:  # the server is not there, or the client is gone
            accepted.close()
            return
        client.other.other = client
        for end in (client, client.other):
            self._ends[end.socket.fileno()] = end
            self._epoll.register(end.socket, select.EPOLLIN)

    def _serve(self, end: End, events: int, early: float) -> None:
        if events & select.EPOLLOUT and end.flush():
            self._watch(end)
        if events & ~select.EPOLLOUT and not end.has_ended:
            try:
                chunk = end.socket.recv(CHUNK)
            except BlockingIOError:
                return
            except OSError:
                chunk = b""
            end.has_ended = not chunk
            self._waiting.append((time.monotonic() + self._delay - early, end.other, chunk))
            if end.has_ended:
                self._watch(end)

    def _deliver(self, end: End, chunk: bytes) -> None:
        if not end.send(chunk):
            self._watch(end)
        if not chunk and end.has_ended:
            for closed in (end, end.other):
                self._ends.pop(closed.socket.fileno(), None)
                closed.socket.close()

    def _watch(self, end: End) -> None:
        """Ask to be told what matters of a socket now; nothing is asked of one that has ended and has no backlog."""
        if end.socket.fileno() < 0:
            return
        events = (0 if end.has_ended else select.EPOLLIN) | (select.EPOLLOUT if end.backlog else 0)
        with suppress(FileNotFoundError):
            self._epoll.unregister(end.socket)
        if events:
            self._epoll.register(end.socket, events)


def _connect(server: str) -> socket.socket:
    if Path(server).is_absolute():
        connected = socket.socket(socket.AF_UNIX)
        connected.connect(server)
        return connected
    return socket.create_connection(("127.0.0.1", int(server)))


def _lateness() -> float:
    """Return the seconds by which this machine is late with a timer: a virtual one is by some 40 microseconds."""
    late = []
    for _ in range(50):
        before = time.monotonic()
        select.select([], [], [], 0.0005)
        late.append(time.monotonic() - before - 0.0005)
    return statistics.median(late)


def main(delay: str, *routes: str) -> None:
    """Forward until it is ended."""
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, SLACK)
    with suppress(PermissionError):  # a network does not wait for a processor that others use; only root can have that
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    leads = (route.partition("=") for route in routes)
    Proxy(float(delay), {int(port): server for port, _, server in leads}).serve(LIMIT)


if __name__ == "__main__":
    main(*sys.argv[1:])
