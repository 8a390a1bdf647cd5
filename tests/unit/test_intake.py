"""How a worker collects messages, with a pool that ends its jobs when the test says so."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from billiard.einfo import ExceptionInfo
from celery.worker import state

import orders
from orders.schedule.records import Lease
from orders.schedule.scripts import CHUNK
from tasks.worker.intake import FEW, LANES, LONG
from tests.unit.fake_worker import EXPIRED, Request, Worker, some

pytestmark = pytest.mark.usefixtures("no_guard")


def test_messages_that_come_together_are_one_attempt() -> None:
    worker, requests = Worker(), some(20)
    worker.bring(*requests)
    [job] = worker.pool.jobs
    assert job.ids == [request.id for request in requests]
    assert not job.is_alone
    job.accept()
    job.end()
    assert {request.began for request in requests} == {1}
    assert [request.ended for request in requests] == [[EXPIRED]] * 20


def test_what_comes_while_all_lanes_are_taken_is_the_next_attempt() -> None:
    worker = Worker()
    for lane in range(LANES):
        worker.bring(Request(f"lane {lane}"))
    worker.bring(*some(10))
    worker.bring(*some(10, "b"))
    assert len(worker.pool.jobs) == LANES
    worker.take().end()
    assert len(worker.pool.jobs[-1].ids) == 20


def test_there_are_no_more_attempts_than_threads() -> None:
    worker = Worker(processes=1)
    worker.bring(Request("a"))
    worker.bring(Request("b"))
    assert worker.under_way() == [["a"]]


def test_an_attempt_has_one_lease() -> None:
    worker = Worker()
    worker.bring(Request("a"), Request("b", kwargs={"lease": 2.0}), Request("c"), Request("d", kwargs={"lease": 2.0}))
    assert worker.under_way() == [["a", "c"], ["b", "d"]]
    assert [job.lease for job in worker.pool.jobs] == [Lease(1.0), Lease(2.0)]


def test_shards_are_leases_of_their_own() -> None:
    worker = Worker()
    worker.bring(Request("a", kwargs={"lease": 1.0, "shard": 0}), Request("b", kwargs={"lease": 1.0, "shard": 1}))
    assert worker.under_way() == [["a"], ["b"]]


def test_a_batch_has_company_enough() -> None:
    worker = Worker()
    worker.bring(Request("batch", args=("1", "2")), Request("3"), Request("4"))
    assert worker.under_way() == [["batch"], ["3", "4"]]
    assert worker.pool.jobs[0].is_alone  # whoever was tried before is in no batch: a sweep sends it by itself


def test_attempts_grow_while_they_are_quick_and_shrink_when_they_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, now = Worker(processes=1), [0.0]
    monkeypatch.setattr("tasks.worker.intake.time.monotonic", lambda: now[0])
    sizes = []
    worker.bring(*some(3 * CHUNK))
    while worker.pool.jobs:
        job = worker.take()
        sizes.append(len(job.ids))
        job.end()
    assert sizes[:4] == [FEW, 4 * FEW, 16 * FEW, CHUNK]
    assert sum(sizes) == 3 * CHUNK
    worker.bring(*some(CHUNK, "slow"))
    now[0] += LONG + 0.1
    worker.take().end()
    worker.bring(*some(CHUNK, "next"))
    assert len(worker.take().ids) == CHUNK // 2


def test_a_worker_with_a_guard_wants_no_more_than_it_can_ask_about(monkeypatch: pytest.MonkeyPatch) -> None:
    found = SimpleNamespace(guard=object(), settings=SimpleNamespace(guard_parallel=3))
    monkeypatch.setattr(orders, "current", lambda: found)
    worker = Worker()
    assert worker.intake._most == 3
    worker.bring(*some(3 * LANES))
    assert [len(job.ids) for job in worker.pool.jobs] == [3] * LANES


def test_what_was_tried_before_is_tried_while_nothing_else_is_under_way() -> None:
    worker = Worker()
    poison, before, after = Request("poison"), Request("before"), Request("after")
    worker.bring(before)
    worker.bring(poison)
    first, second = worker.take(), worker.take()
    second.end(again=["poison"])
    worker.bring(after)
    assert worker.under_way() == []  # the poison waits for who is under way, and who comes waits for the poison
    first.end()
    assert worker.under_way() == [["poison"]]
    assert worker.pool.jobs[0].is_alone
    worker.hub.turn()
    assert len(worker.pool.jobs) == 1
    job = worker.take()
    job.accept()
    job.end()
    assert worker.under_way() == [["after"]]
    assert poison.ended == [EXPIRED]


@pytest.mark.parametrize(
    "request_",
    [
        Request("1", type="shop.mail"),
        Request("1", ignore_result=False),
        Request("1", embed={"callbacks": ["shop.mail"], "errbacks": None}),
        Request("1", kwargs={}),
        Request("1", kwargs={"lease": "soon"}),
        Request("1", kwargs={"lease": 1.0, "shard": -1}),
        Request("1", kwargs={"lease": 1.0, "colour": "blue"}),
        Request("1", args=(7,)),
        Request("1", args=("",)),
    ],
    ids=lambda request: f"{request.type} {request.args} {request.kwargs}",
)
def test_what_no_sweep_sends_is_celerys(request_: Request) -> None:
    worker = Worker()
    worker.bring(request_)
    assert worker.passed_on == [request_]
    assert worker.under_way() == []


def test_what_was_revoked_or_has_become_void_is_not_begun() -> None:
    worker = Worker()
    state.revoked.add("b")
    worker.bring(Request("a"), Request("b", is_revoked=True), Request("c"))
    worker.bring(Request("d", is_void=True, kwargs={"lease": 2.0}))
    assert worker.under_way() == [["a", "c"]]
    assert worker.intake._held == 0


def test_a_process_of_the_pool_is_asked_for_and_given_back() -> None:
    worker = Worker(processes=2, prefork=True)
    held: list[object] = []
    worker.semaphore.acquire(held.append, "a task of the shop")
    worker.bring(*some(3))
    worker.bring(*some(3, "b"))
    assert worker.under_way() == [["0", "1", "2"]]  # the other process is the shop's
    worker.semaphore.release()  # as the pool does when a task has ended
    assert worker.under_way() == [["0", "1", "2"], ["b0", "b1", "b2"]]
    for _ in range(2):
        worker.take().end()
        worker.semaphore.release()
    assert worker.semaphore.value == 2


def test_several_leases_begin_in_as_many_processes_as_are_free() -> None:
    worker = Worker(processes=2, prefork=True)
    worker.bring(*(Request(f"{lease}", kwargs={"lease": float(lease)}) for lease in (1, 2, 3)))
    assert worker.under_way() == [["1"], ["2"]]
    worker.take().end()
    worker.semaphore.release()
    assert worker.under_way() == [["2"], ["3"]]


def test_who_is_revoked_while_it_waits_for_a_process_holds_none() -> None:
    worker = Worker(processes=1, prefork=True)
    worker.semaphore.acquire(lambda: None)
    worker.bring(Request("a", is_void=True))
    worker.semaphore.release()
    assert worker.under_way() == []
    assert worker.semaphore.value == 1


def test_after_a_lost_connection_it_asks_anew_and_goes_on_with_what_it_has() -> None:
    worker = Worker(processes=1, prefork=True)
    worker.semaphore.acquire(lambda: None)
    worker.bring(Request("a"))
    worker.intake.stop(worker.consumer)
    worker.semaphore.clear()  # as Celery does
    worker.hub.turn()
    assert worker.under_way() == []
    worker.intake.start(worker.consumer)
    worker.hub.turn()
    assert worker.under_way() == [["a"]]


def test_the_end_of_an_attempt_is_not_lost_with_the_calls_of_the_loop() -> None:
    worker = Worker(processes=1)
    worker.bring(Request("a"))
    worker.consumer.call_soon = lambda *_: None  # as after an acknowledgement over a lost connection
    worker.take().end()
    worker.bring(Request("b"))
    assert worker.under_way() == [["b"]]


def test_a_worker_that_stops_begins_nothing_more() -> None:
    worker = Worker()
    worker.bring(*some(LANES * FEW))
    worker.bring(*some(5, "held"))
    worker.intake.stop(worker.consumer)
    for _ in range(LANES):
        worker.take().end()
    worker.hub.turn()
    assert worker.under_way() == []


@pytest.mark.parametrize("how", ["error_callback", "callback"])
def test_each_task_of_a_process_that_was_lost_has_failed(how: str) -> None:
    try:
        raise SystemExit
    except SystemExit:
        lost = ExceptionInfo()
    worker, requests = Worker(processes=1), some(3)
    worker.bring(*requests)
    worker.bring(Request("next"))
    worker.take().options[how](lost)
    assert [request.ended for request in requests] == [[lost]] * 3
    assert worker.under_way() == [["next"]]


@pytest.mark.parametrize("method", ["on_accepted", "on_success", "on_failure"])
def test_a_request_that_cannot_be_told_holds_up_no_other(
    method: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(request: Request, *_: object) -> None:
        if request.id == "0":
            raise ZeroDivisionError

    worker, requests = Worker(processes=1), some(2)
    monkeypatch.setattr(Request, method, fail)
    worker.bring(*requests)
    worker.bring(Request("next"))
    job = worker.take()
    job.accept()
    job.options["error_callback"](None) if method == "on_failure" else job.end()
    assert worker.under_way() == [["next"]]
    assert caplog.messages == ["cannot report what became of message 0"]


def test_all_that_falls_due_at_the_same_time_is_one_attempt() -> None:
    # given twenty timers, of which Celery's loop fires ten before it waits for up to a second
    worker = Worker()
    requests = [Request(str(number), eta=object(), due=100.0 + number) for number in range(20)]
    worker.hub.timers = [lambda request=request: worker.consumer.on_task_request(request) for request in requests]  # type: ignore[misc]
    worker.hub.timers.pop(0)()
    assert worker.hub.timers == []
    worker.hub.turn()
    assert worker.under_way() == [[request.id for request in requests]]
    assert worker.take().due == 119.0  # it waits for the last one
