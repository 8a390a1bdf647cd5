"""What is no JSON, or no message, is refused, whatever it says that it is, and the worker survives it.

What is a message, with arguments that no sweep sends, is in `tests.faults.test_strangers`.
"""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path

import pytest
import yaml

from tests.acceptance.conftest import wait_until
from tests.security.conftest import Deployment

REFUSED = re.compile("Can't decode message body|Received invalid task message")
"""What Celery says of a message that it does not read."""

QUEUES = ("orders.sweep", "orders.expire", "orders.events")


class Exploit:
    """Writes a file where it is unpickled."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[object, ...]:
        return Path.write_text, (self._file, "code was run")


@pytest.fixture
def proof(tmp_path: Path) -> Path:
    return tmp_path / "proof"


@pytest.fixture
def payloads(proof: Path) -> dict[str, bytes]:
    """By content type, what writes the file if it is loaded; or would be a message if it were believed."""
    pickled = pickle.dumps(Exploit(proof))
    return {
        "application/x-python-serialize": pickled,
        "application/x-yaml": f'!!python/object/apply:os.system ["touch {proof}"]'.encode(),
        "application/x-msgpack": pickled,
        "application/data": pickled,
        "text/plain": json.dumps([["42"], {"lease": 1.0}, {}]).encode(),
        "": pickled,
    }


def test_the_exploits_work_where_they_are_believed(payloads: dict[str, bytes], proof: Path) -> None:
    for load, kind in ((pickle.loads, "application/x-python-serialize"), (yaml.unsafe_load, "application/x-yaml")):
        load(payloads[kind])
        assert proof.exists(), kind
        proof.unlink()


def test_nothing_but_json_is_read_from_a_queue(deployment: Deployment, payloads: dict[str, bytes], proof: Path) -> None:
    sent = [
        deployment.send_raw(body, task="orders.expire", queue=queue, content_type=kind, content_encoding="binary")
        for queue in QUEUES
        for kind, body in payloads.items()
    ]
    wait_until(lambda: len(REFUSED.findall(deployment.log())) >= len(sent), within=20, why="they were not refused")
    assert not [event for event in deployment.watcher.of("task-started") if event["uuid"] in sent]
    deployment.expires_an_order()
    assert not proof.exists()


@pytest.mark.parametrize("exchange", ["celery.pidbox", "celeryev"])
def test_nothing_but_json_is_read_by_remote_control_and_events(
    deployment: Deployment, payloads: dict[str, bytes], proof: Path, exchange: str
) -> None:
    for kind, body in payloads.items():
        deployment.publish(exchange, "worker.heartbeat", body, kind, "binary")
    deployment.expires_an_order()
    assert not proof.exists()


def test_what_is_no_message_is_refused(deployment: Deployment) -> None:
    texts = ["", "null", "42", '"text"', "{}", "[]", "[[], {}]", '[["1"], [], {}]', '[1, {"lease": 1}, {}]']
    for body in [*map(str.encode, texts), b"\xff"]:
        deployment.send_raw(body, task="orders.expire", queue="orders.expire")
        deployment.send_raw(body, task="orders.sweep", queue="orders.sweep")
    deployment.expires_an_order()
