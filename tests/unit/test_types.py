"""What a user's type checker sees. Mypy checks it with the rest; here is checked that nothing public is left out."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, assert_type
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, scoped_session

import orders
from orders.hooks import Later

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session

MOMENT = datetime(2030, 1, 31, 12, tzinfo=UTC)

SOURCE = Path(__file__).read_text()


def pin_functions(session: Session, scoped: scoped_session[Session], connection: sa.Connection, id_: UUID) -> None:
    assert_type(orders.enqueue("42"), datetime)
    assert_type(orders.enqueue(42, expires_at=MOMENT, session=session), datetime)
    assert_type(orders.enqueue(id_, timeout=60, context={"channel": "app"}, session=scoped), datetime)
    assert_type(orders.enqueue("42", timeout=timedelta(minutes=1), session=connection), datetime)
    assert_type(orders.enqueue_many([("42", MOMENT), (43, None), (id_, None)]), int)
    assert_type(orders.enqueue_many([("42", MOMENT)], session=session), int)
    assert_type(orders.deadline("42", timeout=60.5), datetime)
    assert_type(orders.extend("42", expires_at=MOMENT, session=session), bool)
    assert_type(orders.extend_many(due_before=MOMENT, by=timedelta(minutes=30)), int)
    assert_type(orders.hold("42", 900, session=session), bool)
    assert_type(orders.hold(id_, timedelta(minutes=15)), bool)
    assert_type(orders.pay("42", reference="ch_1", session=session), orders.Payment)
    assert_type(orders.cancel(42, reason="by the customer", session=scoped), bool)
    assert_type(orders.check("42"), orders.State)
    assert_type(orders.remove("42"), bool)
    assert_type(orders.remove("42", session=connection), bool)
    assert_type(orders.explain("42"), orders.Explanation)
    assert_type(orders.pause(1800, reason="the gateway is down", by="anna"), orders.Pause)
    assert_type(orders.pause(until=MOMENT), orders.Pause)
    assert_type(orders.resume(extend=True), orders.Pause | None)
    assert_type(orders.paused(), orders.Pause | None)
    assert_type(orders.configure(orders.Settings()), orders.OrderExpiry)
    assert_type(orders.current(), orders.OrderExpiry)


async def pin_asyncio(
    session: AsyncSession, scoped: async_scoped_session[AsyncSession], connection: AsyncConnection
) -> None:
    assert_type(await orders.aio.enqueue("42"), datetime)
    assert_type(await orders.aio.enqueue(42, expires_at=MOMENT, session=session), datetime)
    assert_type(await orders.aio.enqueue("42", timeout=60, context={}, session=scoped), datetime)
    assert_type(await orders.aio.enqueue_many([("42", None)], session=connection), int)
    assert_type(orders.aio.deadline("42"), datetime)
    assert_type(await orders.aio.extend("42", timeout=timedelta(minutes=1), session=session), bool)
    assert_type(await orders.aio.hold("42", 900, session=session), bool)
    assert_type(await orders.aio.pay("42", reference="ch_1", session=session), orders.Payment)
    assert_type(await orders.aio.cancel("42", reason="by the customer", session=scoped), bool)
    assert_type(await orders.aio.check("42"), orders.State)
    assert_type(await orders.aio.remove("42", session=session), bool)
    assert_type(await orders.aio.explain("42"), orders.Explanation)
    assert_type(await orders.aio.pause(timedelta(minutes=30)), orders.Pause)
    assert_type(await orders.aio.resume(), orders.Pause | None)
    assert_type(await orders.aio.paused(), orders.Pause | None)
    await orders.aio.drain()
    await orders.aio.close()


def pin_what_is_wrong(session: Session) -> None:
    orders.enqueue(4.2)  # type: ignore[arg-type]
    orders.enqueue("42", MOMENT)  # type: ignore[call-arg]
    orders.enqueue("42", expires_at="tomorrow")  # type: ignore[arg-type]
    orders.pay("42", session="session")  # type: ignore[arg-type]
    orders.hold("42", "15 minutes")  # type: ignore[arg-type]
    orders.cancel("42", reason=None)  # type: ignore[arg-type]
    orders.aio.enqueue("42", session=session)  # type: ignore[arg-type, unused-coroutine]

    @orders.guard  # type: ignore[type-var]
    def ask(order_id: str) -> bool:
        return True


def pin_hooks(hooks: orders.Hooks) -> None:
    @orders.on_expire
    def give_back(session: Session, order_ids: Sequence[int]) -> str:
        return "given back"

    @orders.on_expire
    def give_back_once(session: Session, order_ids: Sequence[int], *, again: frozenset[int], reason: str) -> None: ...

    @orders.on_late_payment
    def take_again(session: Session, order_id: int) -> Literal[True]:
        return True

    @orders.guard
    def ask(order_id: str) -> Literal[orders.Answer.PAID]:
        return orders.Answer.PAID

    @hooks.guard
    def ask_later(order_id: str) -> orders.Answer | Later:
        return assert_type(orders.Answer.LATER(MOMENT), Later)

    @orders.on_event
    def tell(event: orders.Event) -> int:
        return assert_type(event.id, int)

    @orders.deadline_rule
    def rule(order_id: str, context: Mapping[str, Any]) -> timedelta:
        return timedelta(minutes=10)

    @orders.condition
    def may_expire(table: sa.TableClause) -> sa.ColumnElement[bool]:
        return table.c.paid_at.is_(None)

    # each keeps the type of its function
    assert_type(give_back(Session(), [1]), str)
    assert_type(take_again(Session(), 1), Literal[True])
    assert_type(ask("42"), Literal[orders.Answer.PAID])
    assert_type(rule("42", {}), timedelta)
    assert_type(may_expire(sa.table("orders")), sa.ColumnElement[bool])
    assert_type(hooks.on_event(tell)(orders.Event(1, "42", orders.EventKind.PAID, MOMENT)), int)


def pin_results(payment: orders.Payment, event: orders.Event, explanation: orders.Explanation) -> None:
    assert_type(payment.order_id, str)
    assert_type(payment.verdict, orders.PaymentVerdict)
    assert_type(payment.refund_key, str | None)
    assert_type(payment.was_revived, bool)
    assert_type(payment.is_accepted, bool)
    assert_type(payment.is_pending, bool)
    assert_type(payment.is_final, bool)
    assert_type(event.order_id, str)
    assert_type(event.kind, orders.EventKind)
    assert_type(event.at, datetime)
    assert_type(event.data, Mapping[str, Any])
    assert_type(explanation.order_id, str)
    assert_type(orders.current().outages.count, int)
    assert_type(orders.OrderExpiry.connect(orders.Settings()), orders.OrderExpiry)


ERRORS: dict[type[orders.OrdersError], type[Exception]] = {
    orders.OrdersError: Exception,
    orders.ConfigError: orders.OrdersError,
    orders.InvalidOrderId: orders.OrdersError,
    orders.InvalidReference: orders.OrdersError,
    orders.InvalidDeadline: orders.OrdersError,
    orders.ScheduleError: orders.OrdersError,
    orders.ScheduleUnavailable: orders.ScheduleError,
    orders.StoreError: orders.OrdersError,
    orders.StoreUnavailable: orders.StoreError,
    orders.StoreConflict: orders.StoreUnavailable,
    orders.SchemaError: orders.StoreError,
    orders.ExpiryFailed: orders.OrdersError,
    orders.DeliveryFailed: orders.OrdersError,
    orders.EmbeddedError: orders.OrdersError,
}


def test_the_package_has_types() -> None:
    assert (files("orders") / "py.typed").is_file()


@pytest.mark.parametrize("name", orders.__all__)
def test_each_public_name_is_pinned(name: str) -> None:
    assert re.search(rf"\borders\.{name}\b", SOURCE)


@pytest.mark.parametrize("name", orders.aio.__all__)
def test_each_name_for_asyncio_is_pinned(name: str) -> None:
    assert re.search(rf"\borders\.aio\.{name}\b", SOURCE)


def test_the_errors_are_a_tree() -> None:
    public = {value for name in orders.__all__ if inspect.isclass(value := getattr(orders, name))}
    assert {kind for kind in public if issubclass(kind, Exception)} == ERRORS.keys()
    assert {error: error.__bases__[0] for error in ERRORS} == ERRORS
    assert issubclass(orders.InvalidOrderId, ValueError)
    assert issubclass(orders.InvalidReference, ValueError)
    assert issubclass(orders.InvalidDeadline, ValueError)


@pytest.mark.parametrize("name", [name for name in orders.aio.__all__ if name not in {"close", "drain"}])
def test_what_is_awaited_takes_the_same_arguments(name: str) -> None:
    assert inspect.signature(getattr(orders.aio, name)).parameters.keys() == (
        inspect.signature(getattr(orders, name)).parameters.keys()
    )
