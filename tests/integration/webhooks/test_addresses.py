"""Where webhooks may go."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from orders.clock import SystemClock
from orders.config import Settings
from orders.webhooks import Addresses, AddressRejected, Response, Sender, trial
from orders.webhooks.addresses import embedded, is_public
from orders.webhooks.sender import _trust
from tests.integration.webhooks.receiver import SECRET, receiving


def settings(url: str = "https://erp.example.com/hook", **others: Any) -> Settings:
    return Settings(webhook_url=url, webhook_secret=SECRET, **others)


def named(*answers: list[str]) -> Callable[..., list[tuple[Any, ...]]]:
    """Return a resolver that gives these addresses, one answer after the other."""
    left = list(answers)

    def resolve(host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
        addresses = left.pop(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    return resolve


def try_once(settings: Settings, addresses: Addresses | None = None) -> Response:
    with Sender(settings.webhooks[0], settings, clock=SystemClock(), addresses=addresses) as sender:
        return sender.send(trial(datetime.now(UTC)))


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "::1", "0.0.0.0", "::", "10.0.0.5", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd00::1"),
        *("169.254.169.254", "fe80::1%eth0", "fec0::1", "fd00:ec2::254", "192.0.2.1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.5", "64:ff9b::7f00:1", "2002:a00:5::1"),
        *("224.0.0.1", "ff02::1", "255.255.255.255", "240.0.0.1"),
    ],
)
def test_an_address_that_is_not_public_is_rejected(address: str) -> None:
    addresses = Addresses(settings(), named([address], ["8.8.8.8", address]))
    with pytest.raises(AddressRejected, match=r"erp\.example\.com has the address .* ORDERS_WEBHOOK_ALLOW must name"):
        addresses.of("erp.example.com", 443, is_https=True)
    with pytest.raises(AddressRejected):  # nor beside a public one
        addresses.of("erp.example.com", 443, is_https=True)


@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_a_public_address_is_allowed_over_https_only(address: str) -> None:
    addresses = Addresses(settings(), named([address], [address]))
    assert addresses.of("erp.example.com", 443, is_https=True) == [address]
    with pytest.raises(AddressRejected, match=r"http to erp\.example\.com: it must be https"):
        addresses.of("erp.example.com", 80, is_https=False)


@pytest.mark.parametrize(
    ("allowed", "host", "address", "is_allowed"),
    [
        ("10.0.0.0/8", "erp", "10.1.2.3", True),
        ("10.0.0.0/8", "erp", "::ffff:10.1.2.3", True),
        ("10.0.0.0/8", "erp", "11.1.2.3", False),
        ("10.0.0.0/8", "erp", "127.0.0.1", False),
        ("fd00::/8 127.0.0.1", "erp", "fd12::1", True),
        ("fd00::/8 127.0.0.1", "erp", "127.0.0.1", True),
        ("fd00::/8 127.0.0.1", "erp", "127.0.0.2", False),
        ("ERP.internal", "erp.Internal.", "10.1.2.3", True),
        ("erp.internal", "crm.internal", "10.1.2.3", False),
        ("internal", "erp.internal", "10.1.2.3", False),
    ],
)
def test_hosts_and_networks_can_be_allowed(allowed: str, host: str, address: str, is_allowed: bool) -> None:
    addresses = Addresses(settings(webhook_allow=allowed), named([address]))
    if is_allowed:
        assert addresses.of(host, 80, is_https=False) == [address]
    else:
        with pytest.raises(AddressRejected):
            addresses.of(host, 80, is_https=False)


def test_an_address_leads_to_those_in_it() -> None:
    teredo = ip_address("2001:0:808:808:0:0:f5ff:fffa")  # of a client at 10.0.0.5
    assert not all(map(is_public, embedded(teredo)))


def test_numbers_that_are_names_are_resolved_like_names() -> None:
    for host in ("2130706433", "0x7f.1", "localhost"):
        with pytest.raises(AddressRejected):
            Addresses(settings()).of(host, 80, is_https=False)


def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a name whose address changes after it was asked for once
    asked: list[object] = []
    getaddrinfo = socket.getaddrinfo

    def note(host: str, *others: Any, **options: Any) -> Any:
        asked.append(host)
        return getaddrinfo(host, *others, **options)

    monkeypatch.setattr(socket, "getaddrinfo", note)
    with receiving() as receiver:
        port = receiver.url.rpartition(":")[2]
        given = settings(f"http://rebind.example.com:{port}", webhook_allow="127.0.0.1")
        addresses = Addresses(given, named(["127.0.0.1"], ["127.0.0.2"]))
        # when a message is posted, then nobody asks again before it has arrived
        assert try_once(given, addresses).is_success
        assert asked == ["127.0.0.1"]
        # and the other address, which is not allowed, gets nothing
        assert "has the address 127.0.0.2" in try_once(given, addresses).error
        assert (len(receiver.got), len(asked)) == (1, 1)


def test_the_name_of_a_private_address_gets_no_request() -> None:
    with receiving() as receiver:
        port = receiver.url.rpartition(":")[2].removesuffix("/hook")
        for url in (f"https://localhost:{port}/", f"https://127.0.0.1:{port}/", f"https://[::ffff:127.0.0.1]:{port}/"):
            response = try_once(settings(url))
            assert response.status is None
            assert response.error.startswith("AddressRejected: ")
        assert receiver.connections == 0


@contextmanager
def answering(reply: Callable[[socket.socket], None], context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Yield the port of a server that answers its connections like this."""

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                try:
                    secured = context.wrap_socket(connection, server_side=True) if context else connection
                    request = b""
                    while not request.endswith(b"}}"):  # closing before its end would reset the connection
                        request += secured.recv(65536)
                    reply(secured)
                    secured.close()
                except OSError:
                    continue

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def test_an_answer_that_never_ends_is_not_read_to_its_end() -> None:
    def flood(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    with answering(flood) as port:
        response = try_once(settings(f"http://127.0.0.1:{port}", webhook_allow="127.0.0.1"))
    assert response.status == 200
    assert len(response.text) == 2000


def test_an_answer_that_drips_ends_with_the_time() -> None:
    drips = 0

    def drip(connection: socket.socket) -> None:
        nonlocal drips
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        for drips in range(300):  # noqa: B007 - counted
            connection.sendall(b"x: y\r\n")
            time.sleep(0.01)  # no step takes as long as the whole may
        connection.sendall(b"Content-Length: 0\r\n\r\n")

    with answering(drip) as port:
        response = try_once(settings(f"http://127.0.0.1:{port}", webhook_allow="127.0.0.1", webhook_timeout=0.5))
    assert (response.status, response.error) == (None, "no answer within 0.5 s")
    assert drips > 2


@pytest.mark.parametrize("reply", [b"", b"no http\r\n\r\n", b"HTTP/1.1 999999 Huge\r\n\r\n"])
def test_what_is_no_answer_is_an_error(reply: bytes) -> None:
    with answering(lambda connection: connection.sendall(reply)) as port:
        response = try_once(settings(f"http://127.0.0.1:{port}", webhook_allow="127.0.0.1"))
    assert response.status is None
    assert response.is_busy
    assert "ProtocolError" in response.error


def test_tls_verifies_the_name_and_not_the_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a receiver with a certificate for its name, of an authority of the shop's
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=erp.internal"]
    names = ["-addext", "subjectAltName=DNS:erp.internal", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *names], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def ok(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with answering(ok, context) as port:

        def post(host: str) -> Response:
            _trust.cache_clear()
            given = settings(f"https://{host}:{port}/", webhook_allow="127.0.0.0/8")
            return try_once(given, Addresses(given, named(["127.0.0.1"])))

        assert "CERTIFICATE_VERIFY_FAILED" in post("erp.internal").error
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert post("erp.internal").status == 200
        assert "certificate is not valid for 'crm.internal'" in post("crm.internal").error


def test_a_name_without_an_address_is_an_error() -> None:
    def resolve(*_: object, **__: object) -> list[tuple[Any, ...]]:
        raise socket.gaierror(-2, "Name or service not known")

    given = settings()
    response = try_once(given, Addresses(given, resolve))
    assert response.error == "gaierror: [Errno -2] Name or service not known"
