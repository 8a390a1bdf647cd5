"""The extension object. One serves any number of apps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakSet

from flask import Flask, current_app

from orders import hooks
from orders.contrib.flask import contexts
from orders.contrib.flask.cli import commands
from orders.contrib.flask.state import AppState
from orders.errors import ConfigError
from orders.expiry import Explanation, OrderExpiry, current_pause, pause_schedule, resume_schedule
from orders.hooks import (
    ConditionHookT,
    DeadlineRuleT,
    EventHookT,
    ExpireHookT,
    GuardHookT,
    Hooks,
    LatePaymentHookT,
)
from orders.ids import OrderId
from orders.store import Joined, Pause, Payment, State

if TYPE_CHECKING:
    from flask_sqlalchemy import SQLAlchemy

HookT = TypeVar("HookT", bound=Callable[..., Any])

NAME: Final = "orders"
"""The extension's key in ``app.extensions``, and the name of its commands."""


class Orders:
    """Closes the unpaid orders of a Flask app at their deadlines.

    With Flask-SQLAlchemy, calls use the transaction of ``db.session``: `pay`, `extend`, `hold` and `cancel` run in it;
    `enqueue` and `remove` change the schedule after its commit, or at once if there is nothing to commit. If Redis is
    down then, the request still succeeds: the failure is logged and counted, and the task ``orders.reconcile`` corrects
    the schedule.

    Args:
        app: the app to serve, as with `init_app`.
        db: the Flask-SQLAlchemy extension, if the orders are in one of its databases. Without it, and without a model,
            they are in ``ORDERS_DATABASE_URL``.
        model: the model of the orders. It defines the table, the id column and the database. ``ORDERS_STATUS_COLUMN``
            and ``ORDERS_DEADLINE_COLUMN`` name its attributes.
        command: the name of the group of commands, if the app already has a command ``orders``.

    Raises:
        ConfigError: see `init_app`.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        db: SQLAlchemy | None = None,
        model: type[Any] | None = None,
        command: str = NAME,
    ) -> None:
        self._db = db
        self._model = model
        self._command = command
        self._hooks = Hooks()
        self._apps: WeakSet[Flask] = WeakSet()
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask, *, db: SQLAlchemy | None = None, model: type[Any] | None = None) -> None:
        """Serve an app, with the ``ORDERS_*`` of its configuration. Later changes to them have no effect.

        This does not connect to Redis or to the database.

        Args:
            app: the app. With Flask-SQLAlchemy, call ``db.init_app(app)`` first.
            db: by default the one given to the constructor.
            model: by default the one given to the constructor.

        Raises:
            ConfigError: a setting is invalid or unknown, the model is not supported, or the app already has an Orders
                extension.
        """
        if NAME in app.extensions:
            raise ConfigError(f"the app {app.name!r} already has an Orders extension: use that one")
        if self._command in app.cli.commands:
            raise ConfigError(
                f"the app {app.name!r} already has the command `flask {self._command}`: choose another name, as in "
                'Orders(command="expiry")'
            )
        app.extensions[NAME] = AppState.of(self, app, db or self._db, model or self._model)
        app.cli.add_command(commands(self._command, state_of))
        self._apps.add(app)
        self._share(app)

    def current(self, app: Flask | None = None) -> OrderExpiry:
        """Return the use cases of an app, by default the current one. They do not use ``db.session``.

        Raises:
            RuntimeError: there is no application context, or `init_app` was not called with the app.
        """
        return self._state(app).expiry

    def provide(self, app: Flask) -> None:
        """Make this process, a Celery worker or beat, serve an app, as ``ORDERS_APP`` does.

        Raises:
            RuntimeError: `init_app` was not called with the app.
        """
        self._state(app).provide()

    def deadline(
        self,
        order_id: OrderId,
        *,
        expires_at: datetime | None = None,
        timeout: float | timedelta | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> datetime:
        """Return the deadline that `enqueue` would schedule; see `orders.deadline`."""
        return self.current().deadline(order_id, expires_at=expires_at, timeout=timeout, context=context)

    def enqueue(
        self,
        order_id: OrderId,
        *,
        expires_at: datetime | None = None,
        timeout: float | timedelta | None = None,
        context: Mapping[str, Any] | None = None,
        session: Joined | None = None,
    ) -> datetime:
        """Schedule an order's expiry after the commit of ``db.session``; return the deadline. See `orders.enqueue`.

        Args:
            order_id: the order's id. A new order has one after ``db.session.flush()``.
            expires_at: the deadline, an aware datetime.
            timeout: instead of *expires_at*, seconds or a timedelta from now.
            context: for the shop's deadline rule.
            session: wait for the commit of this session or connection instead.

        Raises:
            InvalidOrderId: the id is not valid.
            InvalidDeadline: the deadline is not a datetime or is naive, or the timeout is negative.
            ScheduleUnavailable: Redis failed, and the app does not use Flask-SQLAlchemy.
        """
        expiry, session = self._waiting_for(session)
        return expiry.enqueue(order_id, expires_at=expires_at, timeout=timeout, context=context, session=session)

    def enqueue_many(self, pairs: Iterable[tuple[OrderId, datetime | None]], *, session: Joined | None = None) -> int:
        """Schedule many orders after the commit of ``db.session``; see `orders.enqueue_many`."""
        expiry, session = self._waiting_for(session)
        return expiry.enqueue_many(pairs, session=session)

    def remove(self, order_id: OrderId, *, session: Joined | None = None) -> bool:
        """Remove an order from the schedule after the commit of ``db.session``; see `orders.remove`."""
        expiry, session = self._waiting_for(session)
        return expiry.remove(order_id, session=session)

    def extend(
        self,
        order_id: OrderId,
        *,
        expires_at: datetime | None = None,
        timeout: float | timedelta | None = None,
        context: Mapping[str, Any] | None = None,
        session: Joined | None = None,
    ) -> bool:
        """Change the deadline of a pending order, in the transaction of ``db.session``; see `orders.extend`."""
        state, session = self._joining(session)
        extend = state.expiry.extend
        extended = extend(order_id, expires_at=expires_at, timeout=timeout, context=context, session=session)
        state.refresh(session)
        return extended

    def hold(self, order_id: OrderId, seconds: float | timedelta, *, session: Joined | None = None) -> bool:
        """Keep a pending order from expiring, in the transaction of ``db.session``; see `orders.hold`."""
        state, session = self._joining(session)
        held = state.expiry.hold(order_id, seconds, session=session)
        state.refresh(session)
        return held

    def cancel(self, order_id: OrderId, *, reason: str = "cancelled", session: Joined | None = None) -> bool:
        """Cancel an order if it is pending, in the transaction of ``db.session``; see `orders.cancel`."""
        state, session = self._joining(session)
        cancelled = state.expiry.cancel(order_id, reason=reason, session=session)
        state.refresh(session)
        return cancelled

    def pay(self, order_id: OrderId, *, reference: str | None = None, session: Joined | None = None) -> Payment:
        """Mark an order as paid if it is pending, in the transaction of ``db.session``; see `orders.pay`.

        The verdict is valid once that transaction commits. ``expiry.current().pay(…)`` uses its own transaction.
        """
        state, session = self._joining(session)
        payment = state.expiry.pay(order_id, reference=reference, session=session)
        state.refresh(session)
        return payment

    def check(self, order_id: OrderId) -> State:
        """Expire an order now if it is overdue, in its own transaction; see `orders.check`."""
        state = self._state()
        found = state.expiry.check(order_id)
        state.refresh()
        return found

    def explain(self, order_id: OrderId) -> Explanation:
        """Return everything that is known about an order, and what happens to it next; see `orders.explain`."""
        return self.current().explain(order_id)

    def pause(
        self,
        seconds: float | timedelta | None = None,
        *,
        until: datetime | None = None,
        reason: str | None = None,
        by: str | None = None,
    ) -> Pause:
        """Let nothing expire for some time, in its own transaction; see `orders.pause`."""
        return pause_schedule(self.current(), seconds, until=until, reason=reason, by=by)

    def resume(self, *, extend: bool = False) -> Pause | None:
        """End the pause, in its own transactions; see `orders.resume`."""
        return resume_schedule(self.current(), extend=extend)

    def paused(self) -> Pause | None:
        """Return the pause; see `orders.paused`."""
        return current_pause(self.current())

    def on_expire(self, function: ExpireHookT) -> ExpireHookT:
        """Register a hook that runs in the transaction that expires orders; see `orders.on_expire`."""
        return self._registered(self._hooks.on_expire(function))

    def on_late_payment(self, function: LatePaymentHookT) -> LatePaymentHookT:
        """Register the hook that decides whether a late payment revives its order; see `orders.on_late_payment`."""
        return self._registered(self._hooks.on_late_payment(function))

    def guard(self, function: GuardHookT) -> GuardHookT:
        """Register the guard, which is asked before an order expires; see `orders.guard`."""
        return self._registered(self._hooks.guard(function))

    def on_event(self, function: EventHookT) -> EventHookT:
        """Register a handler for events, which are delivered after their commit; see `orders.on_event`."""
        return self._registered(self._hooks.on_event(function))

    def deadline_rule(self, function: DeadlineRuleT) -> DeadlineRuleT:
        """Register the rule for deadlines of orders without an explicit one; see `orders.deadline_rule`."""
        return self._registered(self._hooks.deadline_rule(function))

    def condition(self, function: ConditionHookT) -> ConditionHookT:
        """Register the condition under which a pending order may expire; see `orders.condition`."""
        return self._registered(self._hooks.condition(function))

    def _registered(self, function: HookT) -> HookT:
        for app in self._apps:
            self._share(app)
        return function

    def _share(self, app: Flask) -> None:
        state = state_of(app)
        contexts.share(self._hooks, state.expiry.hooks, app)

    def _state(self, app: Flask | None = None) -> AppState:
        state = state_of(app)
        if state.extension is not self:
            raise RuntimeError(
                "the app belongs to another Orders extension: import that one, or call init_app(app) on this one"
            )
        hooks.load(state.expiry.settings.hooks)
        return state

    def _waiting_for(self, session: Joined | None) -> tuple[OrderExpiry, Joined | None]:
        state = self._state()
        if session is None and state.database:
            session = state.database.writing()
        return state.expiry, session

    def _joining(self, session: Joined | None) -> tuple[AppState, Joined | None]:
        state = self._state()
        if session is None and state.database:
            session = state.database.joined()
        return state, session


def state_of(app: Flask | None = None) -> AppState:
    """Return the extension's state in an app, by default the current one.

    Raises:
        RuntimeError: there is no application context, or the app has no Orders extension.
    """
    if app is None and not current_app:
        raise RuntimeError("no Flask app is active: do this in a request, or inside `with app.app_context():`")
    state: AppState | None = (app or current_app).extensions.get(NAME)
    if state is None:
        raise RuntimeError("the Flask app has no Orders extension: call init_app(app) when you create the app")
    return state
