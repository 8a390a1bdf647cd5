"""Every rival between every two steps: claim → publish → start → ask → update → settle.

The rival runs exactly there, in the same thread, so each case is the same every time. Whatever it does must stand,
and the order must end once, in the state that the database gave it first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from orders.expiry.pause import pause_schedule, resume_schedule
from orders.hooks import Answer, Hooks
from orders.store.outcomes import Verdict
from orders.store.sql_store import SqlStore
from tests.conftest import Shop

pytestmark = pytest.mark.every_adapter

LATER = datetime.now(UTC) + timedelta(hours=1)

Rival = Callable[[Shop], None]


def pay(shop: Shop) -> None:
    """The customer pays, and the id leaves the schedule."""
    shop.payments.append(shop.expiry.pay("42", reference="ch_1"))


def pay_and_forget(shop: Shop) -> None:
    """The shop pays it by an update of its own, in a process that dies before it tells the schedule."""
    shop.update_if_pending("42", status="paid")


def check(shop: Shop) -> None:
    """Somebody looks at the order's page."""
    shop.expiry.check("42")


def extend(shop: Shop) -> None:
    shop.expiry.extend("42", expires_at=LATER)


def hold(shop: Shop) -> None:
    """The customer goes to the gateway."""
    shop.expiry.hold("42", LATER - shop.clock.now())


def cancel(shop: Shop) -> None:
    """Staff cancel it."""
    shop.expiry.cancel("42")


def remove(shop: Shop) -> None:
    """The shop deletes the order."""
    shop.delete("42")
    shop.expiry.remove("42")


def enqueue_again(shop: Shop) -> None:
    shop.expiry.enqueue("42", timeout=0)


def second_worker(shop: Shop) -> None:
    """The message is delivered twice, and another worker is faster."""
    assert shop.claim
    shop.expiry.expire(["42"], shop.claim.lease)


def lease_ends(shop: Shop) -> None:
    """The lease runs out, and another sweep and worker take over."""
    if shop.score("42") is not None:
        shop.redis.zadd("orders", {"42": 1.0})
        shop.claim_and_expire("42")


def reconcile(shop: Shop) -> None:
    shop.expiry.reconcile(everything=True)


def pause(shop: Shop) -> None:
    """Somebody on call stops all expiry."""
    pause_schedule(shop.expiry)


def pause_for_a_moment(shop: Shop) -> None:
    """And lets it go on at once."""
    pause_schedule(shop.expiry)
    resume_schedule(shop.expiry)


RIVALS: list[Rival] = [
    pay,
    pay_and_forget,
    check,
    extend,
    hold,
    cancel,
    remove,
    enqueue_again,
    second_worker,
    lease_ends,
    reconcile,
    pause_for_a_moment,
]
STEPS = [
    "before the claim",
    "before the start",
    "while the guard is asked",
    "before the update",
    "after the update",
    "after all",
]


def interrupted(shop: Shop, hooks: Hooks, rival: Rival, step: str) -> SqlStore:
    """Return a store that lets a rival in just before, or just after, its transaction."""
    store = shop.adapter.store(shop.settings, hooks=hooks, engine=shop.engine)
    expire = store.expire

    def interrupt(order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        if step == "before the update":
            rival(shop)
        verdicts = expire(order_ids)
        if step == "after the update":
            rival(shop)
        return verdicts

    store.expire = interrupt  # type: ignore[method-assign]
    return store


def expire(shop: Shop, rival: Rival, step: str) -> None:
    """Walk an order through all steps, with a rival at one of them."""
    if step == "before the claim":
        rival(shop)
    shop.claim = claim = shop.schedule.claim(10)
    if not claim.claimed:
        return
    if step == "before the start":
        rival(shop)
    hooks = Hooks()
    if step == "while the guard is asked":

        @hooks.guard
        def unpaid(order_id: str) -> Answer:
            rival(shop)
            return Answer.UNPAID

    store = interrupted(shop, hooks, rival, step)
    shop.adapter.expiry(shop.settings, shop.schedule, store, hooks=hooks).expire(
        [claimed.order_id for claimed in claim.claimed], claim.lease
    )
    if step == "after all":
        rival(shop)


EXPIRES_FIRST = {"after the update", "after all"}


def expected(rival: Rival, step: str) -> str | None:
    """Return the state in which the order must end."""
    if rival in {pay, pay_and_forget}:
        return "expired" if step in EXPIRES_FIRST else "paid"
    if rival in {extend, hold}:
        return "expired" if step in EXPIRES_FIRST else "pending"
    if rival is cancel:
        return "expired" if step in EXPIRES_FIRST else "cancelled"
    if rival is remove:
        return None
    return "expired"


@pytest.mark.parametrize(
    ("rival", "step"),
    [
        (rival, step)
        for rival, step in product(RIVALS, STEPS)
        if not (rival in {second_worker, lease_ends} and step == "before the claim")  # there is none yet
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_rival_between_two_steps(shop: Shop, rival: Rival, step: str) -> None:
    # given an order that is due
    shop.create()
    shop.place("42")
    shop.audit()
    # when a rival comes between two steps of its expiry, and everything goes on until nothing is left to do
    expire(shop, rival, step)
    for _ in range(3):
        shop.claim_and_expire_all()
    # then it ended once, as it must
    assert shop.status("42") == expected(rival, step)
    assert len(shop.changes()) <= 1
    # the customer was told what is so
    for payment in shop.payments:
        assert payment.is_accepted == (shop.status("42") == "paid")
        assert (payment.refund_key is not None) == (shop.status("42") == "expired")
    # every event tells what is so, and is told once
    kinds = shop.kinds("42")
    if rival is not remove:
        assert kinds.count("expired") == (shop.status("42") == "expired")
    assert kinds.count("paid") == sum(payment.is_accepted for payment in shop.payments)
    # and the schedule has it only if it is to be expired yet
    if expected(rival, step) == "pending":
        assert shop.score("42") == pytest.approx(LATER.timestamp(), abs=1e-5)
    else:
        assert shop.score("42") is None
    assert shop.redis.exists("{orders}:attempts", "{orders}:failures", "{orders}:dead") == 0


@pytest.mark.parametrize("step", STEPS)
def test_a_pause_between_two_steps(shop: Shop, step: str) -> None:
    # given an order that is due, and a pause between two steps of its expiry
    shop.create()
    shop.place("42")
    shop.audit()
    score = shop.score("42")
    expire(shop, pause, step)
    # when everything goes on until nothing is left to do
    for _ in range(3):
        shop.claim_and_expire_all()
    # then it has expired before, or is as it was
    if step in EXPIRES_FIRST:
        assert (shop.status("42"), shop.score("42")) == ("expired", None)
    else:
        assert shop.status("42") == "pending"
        assert shop.score("42") == pytest.approx(score, abs=1e-3)
    assert shop.redis.exists("{orders}:attempts", "{orders}:failures", "{orders}:dead") == 0
    # and ends once, when somebody lets it
    resume_schedule(shop.expiry)
    shop.claim_and_expire_all()
    assert (shop.status("42"), shop.score("42"), len(shop.changes())) == ("expired", None, 1)
    assert shop.kinds("42") == ["expired"]


@pytest.mark.parametrize("rival", RIVALS, ids=lambda rival: rival.__name__)
@pytest.mark.parametrize("step", ["before the start", "while the guard is asked", "before the update"])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_rival_in_a_pause_between_two_steps(shop: Shop, rival: Rival, step: str) -> None:
    # given a pause in which a rival comes, between two steps
    shop.create()
    shop.place("42")
    shop.audit()

    def both(shop: Shop) -> None:
        pause(shop)
        rival(shop)
        pause(shop)  # pause_for_a_moment has ended it

    expire(shop, both, step)
    shop.claim_and_expire_all()
    # then it has not expired in the pause
    assert shop.status("42") != "expired"
    # and ends as without a pause
    resume_schedule(shop.expiry)
    for _ in range(2):
        shop.claim_and_expire_all()
    assert shop.status("42") == expected(rival, step)
    assert len(shop.changes()) <= 1
    assert shop.redis.exists("{orders}:attempts", "{orders}:failures", "{orders}:dead") == 0


@pytest.mark.parametrize("step", ["before the start", "before the update", "after the update"])
def test_a_crash_between_two_steps_costs_a_lease_and_nothing_else(shop: Shop, step: str) -> None:
    class Crash(BaseException):
        """A kill -9 as seen from the inside: nothing after it runs."""

    def crash(_: Shop) -> None:
        raise Crash

    shop.create()
    shop.place("42")
    shop.audit()
    with pytest.raises(Crash):
        expire(shop, crash, step)
    assert shop.score("42") is not None  # leased
    assert shop.claim_and_expire_all() == 0
    shop.redis.zadd("orders", {"42": 1.0})  # the lease runs out
    assert shop.claim_and_expire_all() == 1
    assert shop.status("42") == "expired"
    assert len(shop.changes()) == 1
    assert shop.score("42") is None
