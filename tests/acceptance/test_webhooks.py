"""The receivers of the page about webhooks, in Python and in JavaScript: both verify what a shop posts."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from orders.clock import SystemClock
from orders.config import Settings
from orders.events import Event, EventKind
from orders.webhooks import Message, Sender, message_of

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "webhooks.md"

SECRET, OTHER = "whsec_" + "QUJD" * 11, "whsec_" + "REVG" * 11


def block(file: str) -> str:
    """Return a block of the page by the name of its file."""
    [found] = [text for text in PAGE.read_text().split("```") if text.partition("\n")[2].startswith(f"{file}\n")]
    return found.partition("\n")[2]


@contextmanager
def node(folder: Path) -> Iterator[tuple[str, Any]]:
    """Run the page's receiver in JavaScript; yield its URL and what it prints."""
    program = shutil.which("node")
    if program is None:
        assert not os.environ.get("CI"), "node is missing"
        pytest.skip("node is not installed")
    file = folder / "receiver.mjs"
    file.write_text(block("// receiver.mjs"))
    environment = {**os.environ, "WEBHOOK_SECRET": SECRET, "PORT": "0"}
    with subprocess.Popen([program, str(file)], env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().strip(), process.stdout
        finally:
            process.kill()


def event(order_id: str = "42 ü", number: int = 4711) -> Message:
    at = SystemClock().now()
    return message_of(Event(number, order_id, EventKind.LATE_PAYMENT, at, {"reference": "ch_ß"}), f"evt_0_{number}")


def post(url: str, message: Message, secrets: str) -> int | None:
    settings = Settings(webhook_url=url, webhook_secret=secrets, webhook_allow="127.0.0.1")
    with Sender(settings.webhooks[0], settings, clock=SystemClock()) as sender:
        return sender.send(message).status


def test_node_verifies_what_is_posted(tmp_path: Path) -> None:
    with node(tmp_path) as (url, printed):
        assert post(url, event(), OTHER) == 401
        assert post(url, event(), SECRET) == 204
        assert printed.readline() == "order.late_payment 42 ü\n"
        assert post(url, event(), f"{OTHER} {SECRET}") == 204  # the same event again
        assert post(url, event("43", 4712), f"{OTHER} {SECRET}") == 204
        assert printed.readline() == "order.late_payment 43\n"


def test_python_verifies_what_is_posted(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    names: dict[str, Any] = {"__name__": "receiver"}
    exec(compile(block("# receiver.py"), "receiver.py", "exec"), names)
    app: Flask = names["app"]
    message = event()

    def give(body: str, secret: str) -> int:
        settings = Settings(webhook_url="https://erp.example.com", webhook_secret=secret)
        headers = message.headers(settings.webhook_secret, SystemClock().now())
        return app.test_client().post("/hooks/orders", data=body.encode(), headers=dict(headers)).status_code

    assert [give(message.body, OTHER), give(message.body + " ", SECRET), give(message.body, SECRET)] == [401, 401, 204]
    assert give(message.body, f"{OTHER} {SECRET}") == 204
    assert capfd.readouterr().out == "order.late_payment 42 ü\n"


def test_the_specifications_own_example() -> None:
    # the key and the message of the reference implementations' tests, with a signature made by openssl
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    settings = Settings(webhook_url="https://erp.example.com", webhook_secret=secret)
    message = Message("msg_p5jXN8AQM9LWM0D4loKWxJek", '{"test": 2432232314}')
    headers = message.headers(settings.webhook_secret, datetime.fromtimestamp(1614265330, UTC))
    assert headers["webhook-timestamp"] == "1614265330"
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
