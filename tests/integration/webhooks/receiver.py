"""A receiver of webhooks for tests: an HTTP server in a thread, which answers as it is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

SECRET = "whsec_" + "QUJD" * 11
OTHER = "whsec_" + "REVG" * 11


@dataclass
class Received:
    """A request, which was verified with the reference library."""

    headers: dict[str, str]
    body: bytes
    event: dict[str, Any]

    @property
    def order_id(self) -> str:
        return str(self.event["data"]["order_id"])


@dataclass
class Receiver:
    """What a receiver got, and how it answers: a status, or a function of the request."""

    url: str
    secret: str = SECRET
    answer: Callable[[Received], int] = lambda _: 200
    headers: dict[str, str] = field(default_factory=dict)
    text: bytes = b"ok"
    got: list[Received] = field(default_factory=list)
    accepted: list[Received] = field(default_factory=list)
    connections: int = 0

    @property
    def orders(self) -> list[tuple[str, str]]:
        """The orders and the types of events that it has accepted, in sequence."""
        return [(each.order_id, each.event["type"]) for each in self.accepted]


@contextmanager
def receiving(*, secret: str = SECRET) -> Iterator[Receiver]:
    """Yield a receiver on this host."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            receiver.connections += 1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            received = Received(headers, body, Webhook(receiver.secret).verify(body, headers))
            receiver.got.append(received)
            status = receiver.answer(received)
            if 200 <= status < 300:
                receiver.accepted.append(received)
            self.send_response(status)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(receiver.text)))
            self.end_headers()
            self.wfile.write(receiver.text)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}/hook", secret)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
