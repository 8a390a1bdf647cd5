"""A payment gateway: the shop's HTTP client, and a small fake server.

::

    GET  /orders/<number>                      → {"status": "captured" | "processing" | "none"}
    POST /payments/<reference>/refund          → refunds all of it, once per ``Idempotency-Key``
"""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Self, cast

ADDRESS = "PAYMENT_GATEWAY"
"""The environment variable with the gateway's host and port."""

TIMEOUT = 2.0
"""Seconds to wait for an answer: less than ``ORDERS_GUARD_TIMEOUT``."""


def status(number: str) -> str:
    """Return the status of an order's payment."""
    return _request("GET", f"/orders/{number}")["status"]


def refund(reference: str, *, key: str) -> None:
    """Refund a payment. Safe to repeat with the same key."""
    _request("POST", f"/payments/{reference}/refund", {"Idempotency-Key": key})


def _request(method: str, path: str, headers: dict[str, str] | None = None) -> dict[str, str]:
    connection = HTTPConnection(os.environ[ADDRESS], timeout=TIMEOUT)
    try:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != HTTPStatus.OK:
        raise ConnectionError(f"the gateway answered {answer.status} to {method} {path}")
    return cast("dict[str, str]", json.loads(body))


@dataclass
class Charge:
    """A customer's payment."""

    number: str
    amount: int
    """In cents."""
    status: str


class FakeGateway(ThreadingHTTPServer):
    """The gateway's server, with its charges and refunds. It serves while its context is open."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.charges: dict[str, Charge] = {}
        """By reference."""
        self.refunds: dict[str, str] = {}
        """The reference of the refunded payment, by idempotency key."""
        self.refund_requests = 0
        self.asked: Counter[str] = Counter()
        """How often the shop asked for an order's status."""

    def __enter__(self) -> Self:
        Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.server_port}"

    def charge(self, number: str, amount: int, status: str = "captured") -> str:
        """Charge a customer for an order; return the reference of the payment."""
        reference = f"pay-{len(self.charges) + 1}"
        self.charges[reference] = Charge(number, amount, status)
        return reference

    def captured(self) -> int:
        """Return what customers have paid, in cents."""
        return sum(charge.amount for charge in self.charges.values() if charge.status == "captured")

    def refunded(self) -> int:
        """Return what was refunded, in cents."""
        return sum(self.charges[reference].amount for reference in self.refunds.values())


class _Handler(BaseHTTPRequestHandler):
    server: FakeGateway

    def do_GET(self) -> None:
        number = self.path.removeprefix("/orders/")
        known = [charge.status for charge in self.server.charges.values() if charge.number == number]
        self._answer({"status": known[-1] if known else "none"})
        self.server.asked[number] += 1

    def do_POST(self) -> None:
        reference = self.path.split("/")[2]
        self.server.refund_requests += 1
        self.server.refunds.setdefault(self.headers["Idempotency-Key"], reference)
        self._answer({"status": "refunded"})

    def _answer(self, body: dict[str, str]) -> None:
        encoded = json.dumps(body).encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    def log_message(self, *_: object) -> None:
        pass
