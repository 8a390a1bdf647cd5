"""An intake, and what stands for the parts of Celery's worker around it: they do what a test says, when it says so."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from kombu.asynchronous.semaphore import LaxBoundedSemaphore

from orders.schedule.records import Lease
from tasks.worker.intake import Intake

EXPIRED = (0, "{'expired': 1}", 0.001)


@dataclass(eq=False)
class Request:
    """What the intake needs of Celery's."""

    id: str
    args: Sequence[Any] = ()
    kwargs: dict[str, Any] = field(default_factory=lambda: {"lease": 1.0})
    embed: dict[str, Any] | None = None
    type: str = "orders.expire"
    ignore_result: bool = True
    eta: object = None
    due: float = 0.0
    is_void: bool = False
    is_revoked: bool = False
    began: int = 0
    ended: list[Any] = field(default_factory=list)
    order_ids: Sequence[str] = ()
    lease: Lease | None = None

    def __post_init__(self) -> None:
        self.args = self.args or (self.id,)
        self.request_dict = {"id": self.id}
        self.message = SimpleNamespace(payload=[self.args, self.kwargs, self.embed])
        self.task = SimpleNamespace(name=self.type, soft_time_limit=None, time_limit=None)

    def maybe_expire(self) -> bool:
        return self.is_void

    def revoked(self) -> bool:
        return self.is_void or self.is_revoked

    def on_accepted(self, pid: int, began: float) -> None:
        self.began += 1

    def on_success(self, outcome: Any) -> None:
        self.ended.append(outcome)

    def on_failure(self, error: Any) -> None:
        self.ended.append(error)


def some(number: int, prefix: str = "", **options: Any) -> list[Request]:
    return [Request(f"{prefix}{each}", **options) for each in range(number)]


@dataclass
class Job:
    """One call of the pool."""

    lease: Lease
    messages: Sequence[Any]
    is_alone: bool
    due: float
    options: dict[str, Any]

    @property
    def ids(self) -> list[str]:
        return [task_id for task_id, *_ in self.messages]

    def accept(self) -> None:
        if self.options["accept_callback"]:
            self.options["accept_callback"](1, 0.0)

    def end(self, again: Sequence[str] = ()) -> None:
        self.options["callback"]([None if task_id in again else EXPIRED for task_id in self.ids])


class Pool:
    def __init__(self, processes: int, *, uses_semaphore: bool) -> None:
        self.num_processes = processes
        self.uses_semaphore = uses_semaphore
        self.jobs: list[Job] = []

    def apply_async(
        self, _: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any], **options: Any
    ) -> None:
        _, lease, messages = arguments
        self.jobs.append(Job(lease, messages, keywords["is_alone"], keywords["due"], options))


class Hub:
    """Celery's event loop, a turn at a time."""

    propagate_errors = ()

    def __init__(self) -> None:
        self.on_tick: set[Callable[[], None]] = set()
        self.timers: list[Callable[[], None]] = []

    def fire_timers(self, *, max_timers: int, propagate: object) -> None:
        for _ in range(max_timers):
            if not self.timers:
                return
            self.timers.pop(0)()

    def turn(self) -> None:
        for tick in list(self.on_tick):
            tick()


class Worker:
    """An intake, and the parts of Celery's worker around it."""

    def __init__(self, *, processes: int = 8, prefork: bool = False) -> None:
        self.passed_on: list[Request] = []
        self.pool = Pool(processes, uses_semaphore=prefork)
        self.hub = Hub()
        self.semaphore = LaxBoundedSemaphore(processes)
        self.consumer = SimpleNamespace(
            on_task_request=self.passed_on.append,
            pool=self.pool,
            hub=self.hub,
            controller=SimpleNamespace(semaphore=self.semaphore),
            call_soon=lambda function, *arguments: function(*arguments),
            task_consumer=SimpleNamespace(channel=object()),
        )
        self.intake = Intake(self.consumer)
        self.intake.start(self.consumer)

    def bring(self, *requests: Request) -> None:
        """Have them arrive in one turn of the loop."""
        for request in requests:
            self.consumer.on_task_request(request)
        self.hub.turn()

    def under_way(self) -> list[list[str]]:
        return [job.ids for job in self.pool.jobs]

    def take(self) -> Job:
        """Return the oldest job, which the pool then forgets."""
        return self.pool.jobs.pop(0)


class Channel:
    """A Redis channel of kombu's that has messages."""

    def __init__(self, worker: Worker, *, prefetch: int | None = None) -> None:
        self.worker = worker
        self.handlers = {"BRPOP": lambda **_: self.deliver({"id": "first"}, "orders.expire")}
        self.active_queues = ["shop", "orders.expire"]
        self.qos = SimpleNamespace(can_consume=lambda: True, can_consume_max_estimate=lambda: prefetch)
        self.taken: list[tuple[str, int]] = []
        self.client = SimpleNamespace(rpop=self.rpop)
        self.connection = SimpleNamespace(_deliver=self.deliver)

    def rpop(self, queue: str, number: int) -> list[bytes]:
        self.taken.append((queue, number))
        return [json.dumps({"id": f"more {each}"}).encode() for each in range(3)]

    def deliver(self, message: dict[str, Any], _: str) -> bool:
        self.worker.consumer.on_task_request(Request(message["id"]))
        return True

    def consumed(self) -> Channel:
        self.worker.consumer.task_consumer = SimpleNamespace(channel=self)
        route = {"queue": SimpleNamespace(name="orders.expire")}
        self.worker.consumer.app = SimpleNamespace(amqp=SimpleNamespace(router=SimpleNamespace(route=lambda *_: route)))
        self.worker.intake.start(self.worker.consumer)
        return self
