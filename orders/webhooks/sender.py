"""Posting to one endpoint, within limits: a time-out for the whole try, and a size for the answer.

httpcore and not httpx: httpcore takes a network backend, which decides about the address to connect to. It follows no
redirects, reads no proxy from the environment, and decompresses nothing.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Self

import httpcore

from orders.config import Endpoint, mask
from orders.webhooks.addresses import Addresses
from orders.webhooks.message import Message

if TYPE_CHECKING:
    from orders.clock import Clock
    from orders.config import Settings

MAX_ANSWER = 2000
"""Bytes of an answer that are read. The connection is closed if there are more."""

GONE = 410

BUSY = {429, 502, 503, 504}
"""Answers of a receiver that gets too much."""

DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Response:
    """What became of a try."""

    status: int | None = None
    """The status of the answer; None if there was none."""
    text: str = ""
    """The beginning of the answer, or why there was none."""
    retry_after: float = 0.0
    """How many seconds the receiver asks for, at most a day."""

    @property
    def is_success(self) -> bool:
        """Whether the receiver has accepted the message."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_busy(self) -> bool:
        """Whether other messages would fail as well: the receiver cannot be reached, or gets too much."""
        return self.status is None or self.status in BUSY

    @property
    def is_gone(self) -> bool:
        """Whether the receiver wants nothing any more."""
        return self.status == GONE

    @property
    def error(self) -> str:
        """Why the try failed."""
        return f"{self.status} {self.text}".strip() if self.status else self.text


class Sender:
    """Posts messages to one endpoint. Thread-safe; it keeps connections open between messages.

    Args:
        endpoint: the receiver.
        settings: the settings.
        clock: tells the time of a try.
        addresses: where requests may go; by default what the settings allow.
    """

    def __init__(
        self, endpoint: Endpoint, settings: Settings, *, clock: Clock, addresses: Addresses | None = None
    ) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._seconds = settings.webhook_timeout
        is_https = endpoint.url.lower().startswith("https:")
        self._gate = Gate(addresses or Addresses(settings), is_https=is_https)
        self._pool = httpcore.ConnectionPool(
            ssl_context=_trust() if is_https else None,
            max_connections=settings.events_parallel,
            network_backend=self._gate,
        )

    def send(self, message: Message) -> Response:
        """Post a message once."""
        headers = message.headers(self._endpoint.secrets, self._clock.now())
        step = dict.fromkeys(("connect", "read", "write", "pool"), self._seconds)
        try:
            with (
                self._gate.limited(self._seconds),
                self._pool.stream(
                    "POST",
                    self._endpoint.url,
                    headers=list(headers.items()),
                    content=message.body.encode(),
                    extensions={"timeout": step},
                ) as answer,
            ):
                text = _beginning(answer.iter_stream())
                return Response(answer.status, text, _retry_after(answer.headers, self._clock.now()))
        except httpcore.TimeoutException:
            return Response(text=f"no answer within {self._seconds:g} s")
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            return Response(text=mask(f"{type(error).__name__}: {error}"))

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Gate(httpcore.NetworkBackend):
    """Connects to checked addresses only, and ends what takes too long.

    Args:
        addresses: decides about addresses.
        is_https: whether connections will be encrypted.
        monotonic: a monotonic clock, in seconds.
    """

    def __init__(
        self, addresses: Addresses, *, is_https: bool, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._addresses = addresses
        self._is_https = is_https
        self._monotonic = monotonic
        self._sockets = httpcore.SyncBackend()
        self._this_thread = threading.local()

    def limited(self, seconds: float) -> Self:
        """Let everything that this thread does from now on take so many seconds."""
        self._this_thread.give_up = self._monotonic() + seconds
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        del self._this_thread.give_up

    def left(self) -> float:
        """Return how many seconds are left.

        Raises:
            TimeoutException: none.
        """
        give_up = getattr(self._this_thread, "give_up", None)
        if give_up is None:  # a connection that is closed later
            return 1.0
        if (seconds := give_up - self._monotonic()) <= 0:
            raise httpcore.ReadTimeout
        return float(seconds)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the whole try has one
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of a host that answers.

        Raises:
            AddressRejected: the settings do not allow one of its addresses.
        """
        failed: Exception = OSError(f"{host} has no address")
        for address in self._addresses.of(host, port, is_https=self._is_https):
            try:
                stream = self._sockets.connect_tcp(address, port, self.left(), local_address, socket_options)
            except httpcore.ConnectError as error:
                failed = error
            else:
                return _Limited(stream, self)
        raise failed


class _Limited(httpcore.NetworkStream):
    """A stream whose steps take no longer than what is left of a try.

    A time-out for each step alone would never end a receiver that sends a byte now and then.
    """

    def __init__(self, stream: httpcore.NetworkStream, gate: Gate) -> None:
        self._stream = stream
        self._gate = gate

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - see `Gate`
        return self._stream.read(max_bytes, self._gate.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002 - see `Gate`
        self._stream.write(buffer, self._gate.left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        del timeout  # see `Gate`
        return _Limited(self._stream.start_tls(ssl_context, server_hostname, self._gate.left()), self._gate)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


@cache
def _trust() -> ssl.SSLContext:
    """Return a context that trusts the public authorities, and those of this host: of ``SSL_CERT_FILE``, too.

    Reading them takes longer than a request.
    """
    context = httpcore.default_ssl_context()
    context.load_default_certs()
    return context


def _beginning(parts: Iterable[bytes]) -> str:
    found = b""
    for part in parts:
        found += part
        if len(found) > MAX_ANSWER:
            break
    text = " ".join(found[:MAX_ANSWER].decode("utf-8", "replace").split())
    return mask("".join(each if each.isprintable() else "\ufffd" for each in text))  # for logs and terminals


def _retry_after(headers: Iterable[tuple[bytes, bytes]], now: datetime) -> float:
    """Return the seconds of the header ``Retry-After``, which has a number or a time; 0 without one."""
    text = next((value.decode("latin-1") for name, value in headers if name.lower() == b"retry-after"), "")
    try:
        seconds = float(text) if text.strip().isdigit() else (_time(text) - now).total_seconds()
    except (ValueError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), DAY)


def _time(text: str) -> datetime:
    time_ = parsedate_to_datetime(text)
    return time_ if time_.tzinfo else time_.replace(tzinfo=UTC)
