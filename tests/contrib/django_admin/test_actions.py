"""What operators do to orders on their pages: retry, extend and remove; and what is logged of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connections

from tests.contrib.django.shop.models import Order
from tests.contrib.django_admin.conftest import LIST, Site, page_of, told


def deadlines(*order_ids: str) -> list[datetime]:
    return [Order.objects.get(pk=order_id).expires_at for order_id in order_ids]


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
class TestOnARow:
    @pytest.fixture
    def database_url(self, backend: str, request: pytest.FixtureRequest, tmp_path: object) -> str:
        name = "postgres_url" if backend == "postgresql" else None
        return str(request.getfixturevalue(name)) if name else f"sqlite:///{tmp_path}/site.db"

    def test_a_dead_letter_is_retried_and_expires(self, site: Site) -> None:
        order_id = site.place(due=-60, enqueue=False)
        site.bury(order_id)
        response = site.operator.post(page_of(order_id), {"action": "retry"}, follow=True)
        assert told(response) == ["1 order requeued, due now."]
        claim = site.expiry.schedule.claim(10)
        assert site.expiry.expire([order_id], claim.lease) == {"expired": 1}
        assert Order.objects.get().status == "expired"
        assert "Expired" in site.operator.get(page_of(order_id)).text

    def test_an_order_is_extended_in_its_row_and_in_the_schedule(self, site: Site) -> None:
        order_id = site.place(due=600)
        before = Order.objects.get().expires_at
        response = site.operator.post(page_of(order_id), {"action": "extend", "minutes": "15"}, follow=True)
        assert told(response) == ["1 order extended by 15 minutes."]
        after = Order.objects.get().expires_at
        assert (after - before).total_seconds() == pytest.approx(900, abs=0.01)
        assert site.redis.zscore("orders", order_id) == pytest.approx(after.timestamp(), abs=1e-3)
        entry = LogEntry.objects.get()
        assert (
            entry.get_change_message() == f"Extended by 15 minutes, to {after.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC."
        )
        assert entry.object_repr == order_id
        assert "Extended" in response.text

    def test_an_order_that_is_not_pending_is_not_extended(self, site: Site) -> None:
        order_id = site.place(status="paid")
        response = site.operator.post(page_of(order_id), {"action": "extend", "minutes": "15"}, follow=True)
        assert told(response) == [f"Not extended, because not pending: {order_id}."]
        assert "Extend" not in site.operator.get(page_of(order_id)).text
        assert not LogEntry.objects.exists()

    def test_an_id_that_no_row_can_have_is_told(self, site: Site) -> None:
        response = site.operator.post(page_of("x" * 40), {"action": "extend", "minutes": "15"}, follow=True)
        assert told(response)[0].startswith("That failed: the order id 'xxx")


def test_an_extension_is_scheduled_once_the_request_has_been_committed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = site.place(due=600)
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)
    site.operator.post(page_of(order_id), {"action": "extend", "minutes": "15"})
    after = Order.objects.get().expires_at
    assert site.redis.zscore("orders", order_id) == pytest.approx(after.timestamp(), abs=1e-3)
    assert (after - datetime.now(UTC)).total_seconds() == pytest.approx(1500, abs=30)


@pytest.mark.parametrize("minutes", ["", "0", "-5", "1.5", "x", "²", "9" * 5000, "600000"])
def test_minutes_that_are_none_are_refused(site: Site, minutes: str) -> None:
    order_id = site.place()
    before = site.redis.zscore("orders", order_id)
    response = site.operator.post(page_of(order_id), {"action": "extend", "minutes": minutes}, follow=True)
    assert told(response)[0].startswith("Nothing was done: minutes must be")
    assert site.redis.zscore("orders", order_id) == before


def test_those_selected_are_retried_and_each_is_logged(site: Site) -> None:
    site.bury("41", "42", "43")
    chosen = {"action": "retry", "_selected_action": ["41", "43", "44"]}
    response = site.operator.post(f"{LIST}?where=dead", chosen, follow=True)
    assert told(response) == ["2 orders requeued, due now.", "No longer in the dead letters: 44."]
    assert site.letters() == 1
    assert site.redis.zcard("orders") == 2
    assert sorted(LogEntry.objects.values_list("object_id", flat=True)) == ["41", "43"]


def test_all_dead_letters_are_retried_with_one_entry_in_the_log(site: Site) -> None:
    site.bury(*map(str, range(120)))
    chosen = {"action": "retry", "select_across": "1", "_selected_action": [str(number) for number in range(50)]}
    client = site.operator
    assert told(client.post(f"{LIST}?where=dead", chosen, follow=True)) == ["120 orders requeued, due now."]
    assert (site.letters(), site.redis.zcard("orders")) == (0, 120)
    entry = LogEntry.objects.get()
    assert (entry.object_repr, entry.get_change_message()) == ("all dead letters", "Requeued all 120 dead letters.")
    assert "all dead letters" in client.get("/admin/").text


def test_those_selected_are_extended_after_a_question_that_says_how_many(site: Site) -> None:
    # given two pending orders, a paid one, and an id that no row can have
    pending = [site.place(due=600), site.place(due=-60)]
    paid = site.place(status="paid")
    site.redis.zadd("orders", {"x" * 40: 1.0})
    chosen = {"action": "extend", "_selected_action": [*pending, paid, "x" * 40]}
    before = deadlines(*pending)
    # when they are selected, nothing changes yet
    question = site.operator.post(LIST, chosen).text
    assert "Extend 4 orders by" in question
    assert deadlines(*pending) == before
    # and when it is confirmed, the pending ones are extended
    response = site.operator.post(LIST, {**chosen, "post": "yes", "minutes": "30"}, follow=True)
    assert told(response)[0].startswith("That failed: the order id 'xxx")
    assert told(response)[1:] == ["2 orders extended by 30 minutes.", f"Not extended, because not pending: {paid}."]
    after = deadlines(*pending)
    assert (after[0] - before[0]).total_seconds() == pytest.approx(1800, abs=0.01)
    assert (after[1] - datetime.now(UTC)).total_seconds() == pytest.approx(1800, abs=60)
    assert sorted(LogEntry.objects.values_list("object_id", flat=True)) == sorted(pending)


def test_an_order_is_removed_after_a_question_and_its_row_stays(site: Site) -> None:
    order_id = site.place()
    client = site.operator
    assert "Are you sure?" in client.post(page_of(order_id), {"action": "remove"}).text
    assert site.redis.zcard("orders") == 1
    response = client.post(page_of(order_id), {"action": "remove", "post": "yes"}, follow=True)
    assert told(response) == ["1 of 1 order removed from the schedule. Their rows did not change."]
    assert site.redis.zcard("orders") == 0
    assert Order.objects.get().status == "pending"
    assert LogEntry.objects.get().get_change_message() == "Removed from the schedule."


@pytest.mark.parametrize(
    ("chosen", "answer"),
    [
        ({"action": "retry"}, "Nothing was done: select the orders first."),
        ({"action": "", "_selected_action": "42"}, "Nothing was done: choose an action first."),
        ({"action": "drop table", "_selected_action": "42"}, "Nothing was done: choose an action first."),
        ({"action": "retry", "_selected_action": "hex:zz"}, "Nothing was done: select the orders first."),
    ],
)
def test_a_choice_that_is_none_does_nothing(site: Site, chosen: dict[str, str], answer: str) -> None:
    site.bury("42")
    assert told(site.operator.post(f"{LIST}?where=dead", chosen, follow=True)) == [answer]
    assert site.letters() == 1
