"""Strangers who may write to Redis, and so to the broker that is in it: what they can do to orders, and to workers."""

from __future__ import annotations

import json
import os
import pickle
import time
from base64 import b64encode
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from celery import Celery

from tests.faults.deployment import Deployment

FOREIGN, LATER, FUTURE = 20_000, 10_000, 2_000

MALFORMED: list[bytes] = [
    b"\xff\xfe\x00",
    b"\xed\xa0\x80",
    b"42\x00",
    b" 42",
    b"42; DROP TABLE orders",
    b"42\nERROR forged\x1b[2J",
    b"1e3",
    b"0x2a",
    b"None",
    b'{"id": 42}',
    "٤٢".encode(),
    b"9" * 100,
    b"x" * 256,
    b"y" * 1_000_000,
    *(os.urandom(20) for _ in range(2000)),
]

WRONG_ARGUMENTS: list[tuple[list[Any], dict[str, Any], str]] = [
    ([42], {"lease": 1.0}, "an order id in the message is 42: it must be text"),
    ([None, ["1"]], {"lease": 1.0}, "an order id in the message is None"),
    (["42"], {"lease": "soon"}, "the lease in the message is 'soon'"),
    (["42"], {"lease": float("nan")}, "the lease in the message is nan"),
    (["42"], {"lease": float("inf")}, "the lease in the message is inf"),
    (["42"], {"lease": 1.0, "shard": -1}, "the shard in the message is -1"),
    (["42"] * 20_000, {"lease": 1.0}, "the message has 20000 order ids: it must have 1 to 5,000"),
    (["42"], {}, "missing 1 required keyword-only argument: 'lease'"),
    (["42"], {"lease": 1.0, "status": "paid"}, "got an unexpected keyword argument 'status'"),
]


class Payload:
    """What makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (self._folder,)


def _envelope(body: bytes, content_type: str, **headers: object) -> bytes:
    """Return a message as it is in Redis."""
    properties = {
        "body_encoding": "base64",
        "correlation_id": str(uuid4()),
        "delivery_info": {"exchange": "", "routing_key": "orders.expire"},
        "delivery_mode": 2,
        "delivery_tag": str(uuid4()),
        "priority": 0,
    }
    told = {"lang": "py", "task": "orders.expire", "id": str(uuid4()), **headers}
    return json.dumps(
        {
            "body": b64encode(body).decode(),
            "content-encoding": "utf-8" if content_type.endswith("json") else "binary",
            "content-type": content_type,
            "headers": told,
            "properties": properties,
        }
    ).encode()


def _with(arguments: list[Any], keywords: dict[str, Any], **headers: object) -> bytes:
    body = json.dumps([arguments, keywords, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    return _envelope(body.encode(), "application/json", **headers)


def test_messages_of_strangers(deployment: Deployment, tmp_path: Path) -> None:
    # given a worker, and somebody who may write to its broker
    deployment.worker()
    deployment.ready()
    redis, trap = deployment.redis, tmp_path / "trap"
    pickled = pickle.dumps([[Payload(trap)], {}, {}])
    # when that one sends it pickles, as a task, as remote control and as an event
    pickles = _envelope(pickled, "application/x-python-serialize")
    redis.lpush("orders.expire", pickles)
    redis.publish("/0.celery.pidbox", pickles)
    redis.publish("/0.celeryev/worker.heartbeat", pickles)
    # and tasks with arguments, times and names that no sweep sends
    for arguments, keywords, _ in WRONG_ARGUMENTS:
        redis.lpush("orders.expire", _with(arguments, keywords))
    for header in ({"eta": "yesterday"}, {"expires": "never"}, {"task": "os.system"}):
        redis.lpush("orders.expire", _with(["42"], {"lease": 1.0}, **header))
    redis.lpush("orders.expire", _envelope(b"not JSON", "application/json"))
    # then each is refused, and the log says why
    reasons = [reason for *_, reason in WRONG_ARGUMENTS]
    deployment.until(
        lambda: all(reason in deployment.log() for reason in reasons), within=20, why="not all were refused"
    )
    deployment.until(lambda: redis.llen("orders.expire") == 0, within=20, why="the queue was not emptied")
    log = deployment.log()
    for _, _, told in WRONG_ARGUMENTS:
        assert told in log, told
    assert "Refusing to deserialize untrusted content of type pickle" in log
    assert "Received unregistered task of type 'os.system'" in log
    # and no code of theirs ran, and the worker works, and answers its control
    assert not trap.exists()
    with Celery(broker=deployment.settings.broker_url, set_as_current=False) as app:
        assert app.control.ping(timeout=5, limit=1)
    deployment.beat()
    deployment.place(100)
    deployment.finish()


def _place_unscheduled(deployment: Deployment, *, due: float) -> list[str]:
    """Place pending orders without telling Redis; return their ids."""
    numbers = range(5001, 5001 + 10 * FUTURE, 10)
    insert = "INSERT INTO orders SELECT n, 'pending', to_timestamp(:due) FROM unnest(CAST(:ids AS bigint[])) AS n"
    with deployment.engine.begin() as connection:
        connection.execute(sa.text(insert), {"due": due, "ids": list(numbers)})
    return [str(number) for number in numbers]


def _impossible_ids_are_dead(letters: dict[str, dict[str, Any]]) -> None:
    assert len(letters) == len(MALFORMED)
    assert "" not in letters
    assert "the table has no such row" not in {letter["reason"] for letter in letters.values()}


def test_a_schedule_that_is_flooded_by_strangers(deployment: Deployment) -> None:
    # given orders that are due, some of them paid, and pending ones that are due tomorrow
    deployment.change(max_attempts=1, batch_threshold=1000)
    redis, now = deployment.redis, time.time()
    deployment.place(1000)
    tomorrow = _place_unscheduled(deployment, due=now + 86400)
    # and strangers who say that those are due, and paid ones too, with ids of no order, before all others
    redis.zadd("orders", {**dict.fromkeys(tomorrow, 0), "10": float("-inf"), "20": -1e300, "": 0})
    redis.zadd("orders", {str(10**9 + number): number for number in range(FOREIGN)})
    redis.zadd("orders", dict.fromkeys(MALFORMED, 1.5))
    # and others in the future
    redis.zadd("orders", {f"later-{number}": now + 1e6 + number for number in range(LATER)})
    redis.zadd("orders", {"never": float("inf"), "eventually": 1e300})
    # when a worker and beat run
    deployment.breaks()
    deployment.worker()
    deployment.beat()
    left = LATER + 2 + FUTURE
    deployment.until(lambda: deployment.expired() == 900, within=40, why="real orders were not expired")
    deployment.until(lambda: redis.zcard("orders") == left, within=40, why="strangers' ids are not worked off")
    # then every order that was due and unpaid is expired once, and no other was touched
    report = deployment.audit()
    deployment.node.user_properties.append(("fault", asdict(report)))
    assert (report.lost, report.doubled) == (0, 0)
    assert deployment.pending() == FUTURE
    # and those of tomorrow are scheduled for tomorrow
    assert {score and round(score) for score in redis.zmscore("orders", tomorrow)} == {round(now + 86400)}
    # and ids without a row are settled and counted; impossible ones are dead letters, with the reason; the empty one is
    # gone
    assert deployment.expiry.schedule.stats()["missing"] == FOREIGN
    _impossible_ids_are_dead(dict(deployment.expiry.schedule.dead()))
    # and one costs a few hundred bytes, however long its reason is
    size = redis.memory_usage("{orders}:dead", samples=0)
    assert size
    assert size < 350 * len(MALFORMED) + sum(map(len, MALFORMED))
    # and the log is still one line for each event
    assert "\nERROR forged" not in deployment.log()
    assert redis.exists("{orders}:attempts", "{orders}:failures") == 0
