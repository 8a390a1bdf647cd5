"""The extension object: one for a shop, whatever number of apps it is given to."""

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
from orders.expiry import Explanation, OrderExpiry
from orders.hooks import DeadlineRuleT, EventHookT, ExpireHookT, GuardHookT, Hooks, LatePaymentHookT
from orders.ids import OrderId
from orders.store import Joined, Payment, State

if TYPE_CHECKING:
    from flask_sqlalchemy import SQLAlchemy

HookT = TypeVar("HookT", bound=Callable[..., Any])

NAME: Final = "orders"
"""Where the extension stands in ``app.extensions``, and what its commands are called."""


class Orders:
    """Closes the unpaid orders of a Flask app at their deadlines.

    With Flask-SQLAlchemy, what is called in a request belongs to the transaction of ``db.session``: `pay` and `extend`
    happen in it, and the schedule is told by `enqueue` and `remove` once it has been committed, or at once if it has
    nothing to commit. A Redis that is down then never fails a request whose order is placed: that is logged and
    counted, and the task ``orders.reconcile`` makes up for it.

    Args:
        app: the app to serve, as with `init_app`.
        db: the Flask-SQLAlchemy extension; orders are in one of its databases. Without it, and without a model, they
            are in ``ORDERS_DATABASE_URL``.
        model: the class of orders: from it come the table, the id column and the database. ``ORDERS_STATUS_COLUMN``
            and ``ORDERS_DEADLINE_COLUMN`` name its attributes.
        command: what the group of commands is called, if the shop has one called ``orders``.

    Raises:
        ConfigError: as `init_app` does.
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
        """Serve an app, by the ``ORDERS_*`` of its configuration: what is changed there later has no effect.

        Nothing is sent to Redis or to the database.

        Args:
            app: the app. If Flask-SQLAlchemy is used, ``db.init_app(app)`` comes before.
            db: by default what the extension was made with.
            model: likewise.

        Raises:
            ConfigError: a setting is wrong or unknown, the model cannot serve, or the app has such an extension.
        """
        if NAME in app.extensions:
            raise ConfigError(f"the app {app.name!r} has an Orders extension already: use that one")
        if self._command in app.cli.commands:
            raise ConfigError(
                f"`flask {self._command}` is a command of the app {app.name!r} already: name ours, "
                'Orders(command="expiry")'
            )
        app.extensions[NAME] = AppState.of(self, app, db or self._db, model or self._model)
        app.cli.add_command(commands(self._command, state_of))
        self._apps.add(app)
        self._share(app)

    def current(self, app: Flask | None = None) -> OrderExpiry:
        """Return the use cases of an app, by default of the current one. They know nothing of ``db.session``.

        Raises:
            RuntimeError: there is no application context, or the app was not given to `init_app`.
        """
        return self._state(app).expiry

    def provide(self, app: Flask) -> None:
        """Have this process, a Celery worker or beat, serve an app, as ``ORDERS_APP`` has it do.

        Raises:
            RuntimeError: the app was not given to `init_app`.
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
        """Schedule an order's expiry once ``db.session`` has been committed; see `orders.enqueue`.

        Args:
            order_id: the order's id. A new one has it after ``db.session.flush()``.
            expires_at: its deadline, an aware datetime.
            timeout: instead, seconds (or a timedelta) from now.
            context: what the shop's deadline rule may want to know.
            session: another session or connection whose commit to wait for.

        Returns:
            The deadline, in UTC.

        Raises:
            InvalidOrderId: the id is none.
            InvalidDeadline: the deadline is no time, or naive, or the timeout is negative.
            ScheduleUnavailable: Redis failed, and the app has no Flask-SQLAlchemy.
        """
        expiry, session = self._waiting_for(session)
        return expiry.enqueue(order_id, expires_at=expires_at, timeout=timeout, context=context, session=session)

    def enqueue_many(self, pairs: Iterable[tuple[OrderId, datetime | None]], *, session: Joined | None = None) -> int:
        """Schedule many orders once ``db.session`` has been committed; see `orders.enqueue_many`."""
        expiry, session = self._waiting_for(session)
        return expiry.enqueue_many(pairs, session=session)

    def remove(self, order_id: OrderId, *, session: Joined | None = None) -> bool:
        """Take an order out of the schedule once ``db.session`` has been committed; see `orders.remove`."""
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
        """Give a pending order another deadline, in the transaction of ``db.session``; see `orders.extend`."""
        state, session = self._joining(session)
        extended = state.expiry.extend(
            order_id, expires_at=expires_at, timeout=timeout, context=context, session=session
        )
        state.refresh(session)
        return extended

    def pay(self, order_id: OrderId, *, reference: str | None = None, session: Joined | None = None) -> Payment:
        """Mark an order as paid if it is pending, in the transaction of ``db.session``; see `orders.pay`.

        The verdict holds once that has been committed. ``expiry.current().pay(…)`` has a transaction of its own.
        """
        state, session = self._joining(session)
        payment = state.expiry.pay(order_id, reference=reference, session=session)
        state.refresh(session)
        return payment

    def check(self, order_id: OrderId) -> State:
        """Expire an order here and now if it is overdue, in a transaction of its own; see `orders.check`."""
        state = self._state()
        found = state.expiry.check(order_id)
        state.refresh()
        return found

    def explain(self, order_id: OrderId) -> Explanation:
        """Tell what is known about an order, and what will happen to it next; see `orders.explain`."""
        return self.current().explain(order_id)

    def on_expire(self, function: ExpireHookT) -> ExpireHookT:
        """Call this in the transaction that expires orders, with ``db.session`` in it; see `orders.on_expire`."""
        return self._registered(self._hooks.on_expire(function))

    def on_late_payment(self, function: LatePaymentHookT) -> LatePaymentHookT:
        """Ask this whether an expired order that is paid now may be revived; see `orders.on_late_payment`."""
        return self._registered(self._hooks.on_late_payment(function))

    def guard(self, function: GuardHookT) -> GuardHookT:
        """Ask this of each order before it is expired; see `orders.guard`."""
        return self._registered(self._hooks.guard(function))

    def on_event(self, function: EventHookT) -> EventHookT:
        """Call this with each event, after its commit; see `orders.on_event`."""
        return self._registered(self._hooks.on_event(function))

    def deadline_rule(self, function: DeadlineRuleT) -> DeadlineRuleT:
        """Ask this for the deadline of an order that is given none; see `orders.deadline_rule`."""
        return self._registered(self._hooks.deadline_rule(function))

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
                "the app was given to another Orders extension: import that one, or call init_app(app) of this one"
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
    """Return what an app has, by default the current one.

    Raises:
        RuntimeError: there is no application context, or the app has no such extension.
    """
    if app is None and not current_app:
        raise RuntimeError("no Flask app is active here: do this in a request, or within `with app.app_context():`")
    extensions = (app or current_app).extensions
    if NAME not in extensions:
        raise RuntimeError("the Flask app has no Orders extension: call init_app(app) when the app is made")
    state: AppState = extensions[NAME]
    return state
