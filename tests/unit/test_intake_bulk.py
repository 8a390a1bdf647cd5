"""How many messages a worker takes from Redis at once."""

from __future__ import annotations

import pytest

from tasks.worker.intake import FEW
from tests.unit.fake_worker import Channel, Request, Worker, some

pytestmark = pytest.mark.usefixtures("no_guard")


def test_after_one_message_it_takes_as_many_as_the_next_attempt_may_have() -> None:
    worker = Worker()
    channel = Channel(worker).consumed()
    assert channel.handlers["BRPOP"]()
    assert channel.taken == [("orders.expire", FEW - 1)]
    worker.hub.turn()
    assert worker.under_way() == [["first", "more 0", "more 1", "more 2"]]


def test_it_takes_no_more_than_it_may_prefetch() -> None:
    channel = Channel(Worker(), prefetch=5).consumed()
    channel.handlers["BRPOP"]()
    assert channel.taken == [("orders.expire", 5)]
    full = Channel(Worker(), prefetch=0).consumed()
    full.handlers["BRPOP"]()
    assert full.taken == []


def test_it_takes_nothing_in_bulk_from_queues_of_the_shops() -> None:
    channel = Channel(Worker())
    channel.active_queues = ["shop"]
    channel.consumed().handlers["BRPOP"]()
    assert channel.taken == []


def test_a_worker_whose_next_attempt_is_full_takes_no_more() -> None:
    worker = Worker(processes=1)
    channel = Channel(worker).consumed()
    worker.bring(Request("under way"))
    worker.bring(*some(FEW - 1))
    assert channel.qos.can_consume()
    worker.bring(Request("the last"))
    assert not channel.qos.can_consume()
    worker.take().end()
    assert channel.qos.can_consume()
