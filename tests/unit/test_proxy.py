"""The proxy of the benchmarks: what passes it arrives whole, in order, and as late as it was told to be."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from benchmarks.distance import wait_for
from orders.embedded import free_port

DELAY = 0.0005


@pytest.fixture(scope="module")
def echo() -> Iterator[int]:
    """A server that sends back what it gets, until there is no more; its port."""

    def answer(connected: socket.socket) -> None:
        with connected:
            while chunk := connected.recv(65536):
                connected.sendall(chunk)

    def accept() -> None:
        while True:
            try:
                connected, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connected,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]


@pytest.fixture(scope="module")
def proxied(echo: int) -> Iterator[int]:
    """The same server from afar."""
    port = free_port()
    with subprocess.Popen([sys.executable, "-m", "benchmarks.proxy", str(DELAY), f"{port}={echo}"]) as proxy:
        try:
            wait_for(port)
            yield port
        finally:
            proxy.terminate()


def test_a_question_and_its_answer_take_both_delays(proxied: int) -> None:
    with socket.create_connection(("127.0.0.1", proxied), timeout=10) as client:
        took = []
        for _ in range(50):
            began = time.monotonic()
            client.sendall(b"ping")
            assert client.recv(100) == b"ping"
            took.append(time.monotonic() - began)
    assert min(took) > 1.5 * DELAY  # it may be early by the machine's own lateness


def test_much_arrives_whole_and_then_the_end(proxied: int) -> None:
    sent = b"".join(number.to_bytes(4, "big") for number in range(2_000_000))
    with socket.create_connection(("127.0.0.1", proxied), timeout=10) as client:

        def send() -> None:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        got = bytearray()
        while chunk := client.recv(1 << 20):
            got += chunk
        sender.join(10)
    assert bytes(got) == sent


def test_a_slow_reader_gets_all_that_was_sent(proxied: int) -> None:
    sent = bytes(8_000_000)
    with socket.create_connection(("127.0.0.1", proxied), timeout=10) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        time.sleep(0.5)  # the server has answered, and closed; what the client has not read yet waits in the proxy
        got = 0
        while chunk := client.recv(1 << 20):
            got += len(chunk)
    assert got == len(sent)


def test_what_is_pipelined_does_not_wait_for_each_other(proxied: int) -> None:
    with socket.create_connection(("127.0.0.1", proxied), timeout=10) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began, got = time.monotonic(), 0
        for _ in range(1_000):
            client.sendall(b"x" * 10)
        while got < 10_000:
            got += len(client.recv(65536))
        assert time.monotonic() - began < 1_000 * 2 * DELAY


def test_connections_that_end_are_forgotten(proxied: int) -> None:
    for _ in range(1_100):  # more than a process may have open
        with socket.create_connection(("127.0.0.1", proxied), timeout=10) as client:
            client.sendall(b"x")
            assert client.recv(1) == b"x"
