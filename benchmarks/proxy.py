"""A TCP proxy that puts distance between two processes: ``python -m benchmarks.proxy SECONDS PORT=SERVER…``.

The proxy queues each chunk with the time at which it was read, and forwards it after the delay, in both directions. So
chunks keep their spacing: a client that waits for an answer is delayed, and pipelined data is not delayed further. All
chunks have the same delay, so they leave in the order in which they were read, and a plain queue is enough.

An event loop would round the delay up to whole milliseconds, as ``epoll_wait`` does. ``select`` takes microseconds, and
can wait for an epoll descriptor like for any other.

Measured on two cores that were busy with other work, in the median: without a delay, a PING through the proxy takes
0.05 ms longer; with half a millisecond each way, 1.1 to 1.3 ms longer. A chunk costs the proxy 20 to 40 microseconds of
CPU time.
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
"""Seconds after which the proxy ends, if nobody has stopped it."""

CHUNK = 65536

BUSY = 4
"""With this many chunks in the queue, the proxy is busy and polls every `TICK`."""

TICK = 0.0001
"""Seconds between two polls. A chunk may be forwarded half of this too early or too late."""

PR_SET_TIMERSLACK = 29
SLACK = 1_000
"""Nanoseconds that a timer of this process may be late. Linux's default is 50,000."""


class End:
    """One of the two sockets of a connection."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        if connected.family == socket.AF_INET:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = connected
        self.backlog = bytearray()
        """Data that the socket has not accepted yet."""
        self.has_ended = False
        """Whether the socket will send no more data."""
        self.is_complete = False
        """Whether it was given all data that it is to send on, though some may be in the backlog."""
        self.other: Self = self

    def send(self, chunk: bytes) -> bool:
        """Send a chunk; an empty one means that no more follow. Return whether the socket accepted all of it."""
        self.is_complete = not chunk
        if self.backlog:
            self.backlog += chunk
            return False
        with suppress(OSError):  # closed by the peer: reading its end of stream tells the other socket
            if not chunk:
                self.socket.shutdown(socket.SHUT_WR)
            elif (sent := self._send(chunk)) < len(chunk):
                self.backlog += chunk[sent:]
                return False
        return True

    def flush(self) -> bool:
        """Send the backlog; return whether the socket accepted all of it."""
        try:
            del self.backlog[: self._send(self.backlog)]
            if not self.backlog and self.is_complete:
                self.socket.shutdown(socket.SHUT_WR)
        except OSError:  # closed by the peer, which wants no more
            self.backlog.clear()
        return not self.backlog

    def _send(self, chunk: bytes | bytearray) -> int:
        try:
            return self.socket.send(chunk)
        except BlockingIOError:
            return 0


class Proxy:
    """Forwards connections, and delays each chunk.

    Args:
        delay: seconds, in each direction.
        routes: the target of each port: the path of a Unix socket, or the port of a server on loopback.
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
        """Forward connections for this many seconds."""
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            early = self._pass_on(now)
            for descriptor, events in self._epoll.poll(0):
                if descriptor in self._listeners:
                    self._accept(*self._listeners[descriptor])
                elif descriptor in self._ends:
                    self._serve(self._ends[descriptor], events, early)

    def _pass_on(self, now: float) -> float:
        """Forward the chunks that are due, then wait; return how many seconds ago, on average, new chunks arrived.

        With few chunks in the queue, each arrival and each departure wakes this process. With many, it polls every
        `TICK`; otherwise it would wake all the time, and take the processor from the processes that are measured.
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
        except OSError:  # the server is unreachable, or the client has disconnected
            accepted.close()
            return
        client.other.other = client
        for end in (client, client.other):
            self._ends[end.socket.fileno()] = end
            self._epoll.register(end.socket, select.EPOLLIN)

    def _serve(self, end: End, events: int, early: float) -> None:
        if events & select.EPOLLOUT and end.flush():
            self._watch(end)
            self._close_if_over(end)
        if events & ~select.EPOLLOUT and not end.has_ended and end.socket.fileno() >= 0:
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
        self._close_if_over(end)

    def _close_if_over(self, end: End) -> None:
        """Close both sockets once each has sent on all that the other one sent."""
        both = (end, end.other)
        if all(each.is_complete and not each.backlog for each in both):
            for each in both:
                self._ends.pop(each.socket.fileno(), None)
                each.socket.close()

    def _watch(self, end: End) -> None:
        """Register a socket for the events that matter now: none if it has ended and has no backlog."""
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
    """Return how many seconds late a timer fires here: about 40 microseconds on a virtual machine."""
    late = []
    for _ in range(50):
        before = time.monotonic()
        select.select([], [], [], 0.0005)
        late.append(time.monotonic() - before - 0.0005)
    return statistics.median(late)


def main(delay: str, *routes: str) -> None:
    """Forward until this process is stopped."""
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, SLACK)
    with suppress(PermissionError):  # a network does not wait for a busy processor; needs root
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    leads = (route.partition("=") for route in routes)
    Proxy(float(delay), {int(port): server for port, _, server in leads}).serve(LIMIT)


if __name__ == "__main__":
    main(*sys.argv[1:])
