"""A payment gateway on this host, with the ways of real ones: it fails, dawdles, hangs, and does not tell all it knows.

::

    with Gateway() as gateway:
        gateway.behave(answers("paid"), "42")
        gateway.behave(slow(0.1, fails))                # all others
        payment_guard(gateway.url)("42")                # Answer.PAID
        gateway.asked, gateway.most_at_once             # Counter({"42": 1}), 1
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Self, TypeAlias
from urllib.parse import quote, unquote
from urllib.request import ProxyHandler, build_opener

from orders.hooks import Answer, GuardHook, Later


@dataclass(frozen=True)
class Question:
    """A request, as a behaviour sees it."""

    send: Callable[[bytes], object]
    """Sends a part of the answer at once."""
    is_over: Event
    """Set when nobody needs to wait any more."""


Behaviour: TypeAlias = Callable[[Question], bytes]
"""What the gateway does with a question: returns the rest of its HTTP answer. Then the connection is closed."""


def answers(status: str, **more: str) -> Behaviour:
    """Say this of a payment: "paid", "unpaid", "processing", or "later" with `until`."""
    return lambda _: _response(HTTPStatus.OK, json.dumps({"status": status, **more}))


def fails(_: Question) -> bytes:
    return _response(HTTPStatus.INTERNAL_SERVER_ERROR, "")


def malformed(_: Question) -> bytes:
    """Say something else than JSON, as what stands before a gateway does when that is down."""
    return _response(HTTPStatus.OK, "<html>One moment, please</html>")


def closes(_: Question) -> bytes:
    return b""


def hangs(question: Question) -> bytes:
    question.is_over.wait()
    return b""


def drips(question: Question) -> bytes:
    """Send a byte now and then: no read waits for long, and the answer never ends."""
    question.send(b"HTTP/1.0 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while not question.is_over.wait(0.05):
        question.send(b" ")
    return b""


def slow(seconds: float, then: Behaviour) -> Behaviour:
    """Do something after so many seconds."""

    def behave(question: Question) -> bytes:
        question.is_over.wait(seconds)
        return then(question)

    return behave


def callback(order_id: str, *, paid_at: datetime) -> dict[str, str]:
    """Return what the gateway tells the shop unasked once it has the money, whatever it answered before."""
    return {"id": order_id, "status": "paid", "paid_at": paid_at.isoformat(), "reference": f"ch_{order_id}"}


class Gateway(ThreadingHTTPServer):
    """The gateway: ``GET /payments/<order id>``. Whoever asks is told "unpaid", unless it is to behave otherwise."""

    daemon_threads = False  # closing waits for them
    request_queue_size = 128  # or connections that come all at once are put off for a second

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: Counter[str] = Counter()
        """How often it was asked, by order."""
        self.most_at_once = 0
        """The most questions that waited for an answer at the same time, those of clients that have left included."""
        self._waiting = 0
        self._lock = Lock()
        self._behaviours: dict[str, Behaviour] = {}
        self._otherwise = answers("unpaid")
        self._is_over = Event()
        self._thread = Thread(target=self.serve_forever, args=(0.01,), name="gateway")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._is_over.set()
        self._thread.join()
        self.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def behave(self, behaviour: Behaviour, *order_ids: str) -> None:
        """Behave like this about these orders; without any, about all that nothing else was said of."""
        with self._lock:
            self._behaviours |= dict.fromkeys(order_ids, behaviour)
            if not order_ids:
                self._otherwise = behaviour

    def release(self) -> None:
        """Close the connections of those who wait."""
        with self._lock:
            self._is_over.set()
            self._is_over = Event()

    @contextmanager
    def counted(self, order_id: str) -> Iterator[tuple[Behaviour, Event]]:
        """Count a question while it waits for an answer."""
        with self._lock:
            self.asked[order_id] += 1
            self._waiting += 1
            self.most_at_once = max(self.most_at_once, self._waiting)
            behaviour, is_over = self._behaviours.get(order_id, self._otherwise), self._is_over
        try:
            yield behaviour, is_over
        finally:
            with self._lock:
                self._waiting -= 1


class _Handler(BaseHTTPRequestHandler):
    server: Gateway

    def do_GET(self) -> None:
        order_id = unquote(self.path.removeprefix("/payments/"))
        with suppress(ConnectionError):  # a client that has left
            with self.server.counted(order_id) as (behaviour, is_over):
                answer = behaviour(Question(self.wfile.write, is_over))
            self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Leave stderr to the tests."""


def _response(status: HTTPStatus, body: str) -> bytes:
    return f"HTTP/1.0 {status} {status.phrase}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


# What a shop writes

MEANING = {"paid": Answer.PAID, "unpaid": Answer.UNPAID, "processing": Answer.UNKNOWN}

_http = build_opener(ProxyHandler({}))  # the environment's proxies know no gateway on this host


def payment_guard(url: str, *, timeout: float = 10.0, deadline: Callable[[str], datetime] | None = None) -> GuardHook:
    """Return a guard that asks a gateway.

    Args:
        url: where it is.
        timeout: seconds to wait for a connection, and for each read.
        deadline: returns the deadline of an order, if a payment after it is not to count.
    """

    def guard(order_id: str) -> Answer | Later:
        with _http.open(f"{url}/payments/{quote(order_id, safe='')}", timeout=timeout) as response:
            payment = json.load(response)
        if payment["status"] == "later":
            return Answer.LATER(datetime.fromisoformat(payment["until"]))
        answer = MEANING[payment["status"]]
        is_late = answer is Answer.PAID and deadline and datetime.fromisoformat(payment["paid_at"]) > deadline(order_id)
        return Answer.UNPAID if is_late else answer

    return guard
