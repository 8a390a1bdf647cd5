"""Arguments of the wrong type: an error that says what is accepted, and nothing is half done."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

import orders
from orders import aio, process
from orders.errors import ConfigError, InvalidDeadline, InvalidOrderId
from tests.conftest import Shop

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

DEADLINE = datetime(2030, 1, 31, tzinfo=UTC)

WITH_AN_ID = ("enqueue", "extend", "pay", "check", "remove", "explain")
WITH_A_DEADLINE = ("enqueue", "extend", "deadline")
WITH_A_SESSION = ("enqueue", "extend", "pay", "remove")


class Unprintable:
    def __repr__(self) -> str:
        return "x" * 10_000


def waited_for(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arguments, **named: asyncio.run(function(*arguments, **named))


@pytest.fixture(params=["orders", "orders.aio"])
def api(request: pytest.FixtureRequest, shop: Shop) -> Iterator[Callable[[str], Callable[..., Any]]]:
    """Return the functions of a module by name, which wait for the end of a coroutine."""

    def function(name: str) -> Callable[..., Any]:
        if request.param == "orders" or name == "deadline":
            return getattr(orders, name)  # type: ignore[no-any-return]  # by name
        return waited_for(getattr(aio, name))

    shop.create()
    shop.place("42", due=60)
    before = shop.schedule_as_dict()
    with process.using(shop.expiry):
        yield function
    assert (shop.status("42"), shop.kinds("42"), shop.schedule_as_dict()) == ("pending", [], before)


@pytest.mark.parametrize(
    "order_id",
    [None, True, 1.5, math.nan, b"42", [], ["42"], {}, ("4", "2"), "", 10**5000, DEADLINE],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_an_id(api: Any, order_id: Any) -> None:
    for name in (*WITH_AN_ID, "deadline"):
        with pytest.raises(InvalidOrderId, match=r"^(an|the) order id (is|must be) .{,200}$"):
            api(name)(order_id)


@pytest.mark.parametrize(
    "expires_at",
    [
        *(0, 1_900_000_000, 1.9e9, True, "2030-01-31", "", b"2030", [], Unprintable()),
        *(date(2030, 1, 31), datetime(2030, 1, 31), time(12), timedelta(1)),  # noqa: DTZ001 - naive
        datetime.min.replace(tzinfo=timezone(timedelta(hours=5))),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_a_deadline(api: Any, expires_at: Any) -> None:
    for name in WITH_A_DEADLINE:
        with pytest.raises(InvalidDeadline, match=r"^(a|the) deadline "):
            api(name)("42", expires_at=expires_at)
    with pytest.raises(InvalidDeadline):
        api("enqueue_many")([("43", DEADLINE), ("42", expires_at)])


@pytest.mark.parametrize(
    "timeout",
    [
        *(True, -1, math.nan, math.inf, -math.inf, "900", b"900", [], {}, date(2030, 1, 31), DEADLINE, Decimal(900)),
        *(10**400, -(10**5000), 1e300, timedelta(-1), timedelta.max),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_a_timeout(api: Any, timeout: Any) -> None:
    for name in WITH_A_DEADLINE:
        with pytest.raises(InvalidDeadline, match=r"^(a|the) timeout "):
            api(name)("42", timeout=timeout)


@pytest.mark.parametrize("context", [5, "web", b"web", [], ["web"], True, object()])
def test_what_is_not_a_context(api: Any, context: Any) -> None:
    for name in WITH_A_DEADLINE:
        with pytest.raises(TypeError, match=r"^context=.*: it must be Mapping or None, not \w+$"):
            api(name)("42", context=context)


@pytest.mark.parametrize("session", [5, "db", True, False, 0, "", {}, object()])
def test_what_is_not_a_session(api: Any, session: Any) -> None:
    for name in WITH_A_SESSION:
        with pytest.raises(TypeError, match=r"^session=.* SQLAlchemy "):
            api(name)("42", session=session)
    with pytest.raises(TypeError, match=r"^session=.* SQLAlchemy "):
        api("enqueue_many")([("42", DEADLINE)], session=session)


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        (None, r"pairs=None: it must be an iterable of pairs"),
        (5, r"pairs=5: it must be"),
        ("", r"pairs='': it must be"),
        ("42", r"pairs='42': it must be"),
        (b"42", r"pairs=b'42': it must be"),
        ({"42": DEADLINE}, r"pairs={'42': .*: it must be"),
        ({}, r"pairs={}: it must be"),
        (["42", "433"], r"'433' is not a pair|a deadline must be"),
        ([("43", DEADLINE), ("42",)], r"\('42',\) is not a pair of an order id and its deadline, or None"),
        ([("43", DEADLINE), ("42", DEADLINE, 1)], r"is not a pair"),
        (("42", DEADLINE), r"a deadline must be|is not a pair"),
        ([("43", DEADLINE), None], r"None is not a pair"),
        ([("43", DEADLINE), (DEADLINE, "42")], r"an order id must be"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_are_not_pairs(api: Any, pairs: Any, told: str) -> None:
    with pytest.raises((TypeError, InvalidDeadline, InvalidOrderId), match=told):
        api("enqueue_many")(pairs)


def test_an_error_of_the_shops_own_generator_is_passed_on(api: Any) -> None:
    def failing() -> Iterator[tuple[str, datetime]]:
        yield "43", DEADLINE
        raise ValueError("of the shop")

    with pytest.raises(ValueError, match=r"^of the shop$"):
        api("enqueue_many")(failing())


@pytest.mark.parametrize("given", [5, "x", True, False, 0, {}, {"LEASE": 60}, orders.Settings, object()])
def test_what_are_not_settings(shop: Shop, given: Any) -> None:
    for function in (orders.configure, orders.OrderExpiry.connect):
        with pytest.raises(TypeError, match=r"^settings=.*: it must be Settings or None, not \w+$"):
            function(given)


def test_a_password_in_what_are_not_settings_is_not_shown(shop: Shop) -> None:
    with pytest.raises(TypeError) as caught:
        orders.configure({"REDIS_URL": "redis://:s3cret@localhost"})  # type: ignore[arg-type]  # on purpose
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("hooks", [5, "x", True, {}, orders.Hooks, object()])
def test_what_are_not_hooks(shop: Shop, hooks: Any) -> None:
    with pytest.raises(TypeError, match=r"^hooks=.*: it must be Hooks or None, not \w+$"):
        orders.OrderExpiry.connect(shop.settings, hooks=hooks)
    with pytest.raises(TypeError, match=r"^hooks="):
        orders.OrderExpiry(shop.settings, shop.schedule, shop.store, hooks=hooks)


@pytest.mark.parametrize("mapping", [5, "x", True, None, ["LEASE"], {5: 1}, {None: 1}])
def test_what_is_not_a_mapping_of_settings(shop: Shop, mapping: Any) -> None:
    with pytest.raises(ConfigError, match=r"^the settings are a \w+: they must be a dict like {'LEASE': 60}$"):
        orders.Settings.of(mapping)


@pytest.mark.parametrize("name", ["TIMEOUT", "GRACE", "BATCH_SIZE", "MAX_ATTEMPTS", "PENDING", "TABLE", "HOOKS"])
def test_a_bool_is_not_a_number(shop: Shop, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"^ORDERS_{name} is True: it must be "):
        orders.Settings.of({name: True})
