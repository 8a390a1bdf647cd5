"""The operators' pages and who sees them, through Django's test client, on a real Redis and real databases."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from orders import process
from orders.embedded import free_port
from orders.operate import links
from tests.contrib.django_admin.conftest import LIST, Site, page_of

ODD = [
    "<script>alert(1)</script>",
    "a/b?c=d&e#f",
    "üñí",
    "_2F",
    "hex:ff",
    " x ",
    "\udcff\udcfe",
    "a\nb",
    "a\0b",
    "\u202etxt",
    "/",
]


@pytest.mark.parametrize(
    ("permissions", "is_staff", "sees", "changes"),
    [
        ([], False, 302, 302),
        ([], True, 403, 403),
        (["view_schedule"], True, 200, 403),
        (["change_schedule"], True, 200, 302),
        (["view_schedule", "change_schedule"], True, 200, 302),
        (["view_schedule", "change_schedule"], False, 302, 302),
    ],
)
def test_permissions_decide(site: Site, permissions: list[str], is_staff: bool, sees: int, changes: int) -> None:
    site.bury("42")
    client = site.client(*permissions, is_staff=is_staff)
    for address in (LIST, f"{LIST}?where=dead", page_of("42"), f"{LIST}42/history/"):
        assert client.get(address).status_code == sees
    assert client.post(page_of("42"), {"action": "retry"}).status_code == changes
    posted = client.post(f"{LIST}?where=dead", {"action": "retry", "_selected_action": "42"})
    assert posted.status_code == changes
    is_done = is_staff and "change_schedule" in permissions
    assert site.letters() == (0 if is_done else 1)
    assert ("Order expiry" in client.get("/admin/", follow=True).text) == (sees == 200)


def test_nobody_sees_it_without_logging_in(site: Site) -> None:
    response = Client().get(LIST)
    assert (response.status_code, response.headers["Location"]) == (302, f"/admin/login/?next={LIST}")


def test_nothing_can_be_added_or_deleted(site: Site) -> None:
    client = site.client(is_superuser=True)
    assert client.get(f"{LIST}add/").status_code == 403
    assert client.post(f"{LIST}42/delete/", {"post": "yes"}).status_code == 403


def test_those_who_may_only_look_are_offered_nothing_to_do(site: Site) -> None:
    site.bury("42")
    viewer, operator = site.client("view_schedule"), site.operator
    for address in (f"{LIST}?where=dead", page_of("42")):
        assert 'name="action"' not in viewer.get(address).text
        assert 'name="action"' in operator.get(address).text


def test_a_form_of_another_site_changes_nothing(site: Site) -> None:
    site.bury("42")
    client = site.client("change_schedule", csrf=True)
    assert client.post(page_of("42"), {"action": "retry"}).status_code == 403
    assert client.post(LIST, {"action": "retry", "_selected_action": "42"}).status_code == 403
    assert site.letters() == 1


def test_getting_a_page_changes_nothing(site: Site) -> None:
    site.bury("42")
    site.operator.get(page_of("42"), {"action": "retry"})
    assert site.letters() == 1


def test_the_list_counts_and_shows_what_stands_where(site: Site) -> None:
    # given one that is pending, one due, one leased, one dead
    leased = site.place(due=-60)
    site.expiry.schedule.claim(10)
    pending, due = site.place(due=600), site.place(due=-1)
    site.bury("42")
    # then
    client = site.operator
    for where, order_id in {"pending": pending, "due": due, "leased": leased, "dead": "42"}.items():
        response = client.get(LIST, {"where": where})
        assert [row["shown"] for row in response.context["rows"]] == [order_id]
        assert {str(tile["where"]): tile["count"] for tile in response.context["tiles"]} == dict.fromkeys(
            ("pending", "due", "leased", "dead"), 1
        )
        assert "s ago" in response.text
    assert client.get(LIST, {"where": "nowhere"}).context["where"] == "pending"


def test_a_dead_beat_is_told(site: Site) -> None:
    assert "No recent sweep" in site.operator.get(LIST).text
    site.expiry.schedule.claim(10)
    assert "No recent sweep" not in site.operator.get(LIST).text


def test_pages_over_250_dead_letters(site: Site) -> None:
    site.bury(*(f"{number:03}" for number in range(250)))
    client = site.operator
    pages = [client.get(f"{LIST}?where=dead&p={number}").context["rows"] for number in range(1, 6)]
    assert [row["shown"] for page in pages for row in page] == [f"{number:03}" for number in range(250)]
    first = client.get(LIST, {"where": "dead"})
    assert [row["shown"] for row in first.context["rows"]] == [f"{number:03}" for number in range(50)]
    assert "?where=dead&amp;p=5" in first.text
    odd: str
    for odd in ("6", "0", "-1", "x", "²", "9" * 5000):
        assert client.get(LIST, {"where": "dead", "p": odd}).status_code == 200


def test_pages_over_250_pending_orders(site: Site) -> None:
    site.expiry.schedule.enqueue((f"{number:03}", 2e9 + number) for number in range(250))
    client = site.operator
    pages = [client.get(LIST, {"p": number}).context["rows"] for number in range(1, 6)]
    assert [row["shown"] for page in pages for row in page] == [f"{number:03}" for number in range(250)]


@pytest.mark.parametrize("order_id", ODD)
def test_any_id_is_shown_escaped_and_can_be_acted_on(site: Site, order_id: str) -> None:
    # given a dead letter whose id and reason are nobody's idea of an id
    client = site.operator
    site.bury(order_id.encode("utf-8", "surrogateescape"), reason="<script>alert(2)</script>")
    # then the list and its own page show it
    listing = client.get(LIST, {"where": "dead"})
    row = listing.context["rows"][0]
    page = client.get(row["address"])
    for response in (listing, page, client.get(row["address"].replace("/change/", "/history/"))):
        assert response.status_code == 200
        assert "<script>alert" not in response.text
        assert "\0" not in response.text
        assert "\u202e" not in response.text
    assert "&lt;script&gt;alert(2)" in page.text
    # and it can be retried on its page, and removed in the list
    client.post(row["address"], {"action": "retry"})
    assert site.expiry.schedule.entry(order_id).due is not None
    chosen = {"action": "remove", "_selected_action": row["key"]}
    asked = client.post(f"{LIST}?where=due", chosen)
    assert asked.status_code == 200
    assert "<script>alert" not in asked.text
    assert site.expiry.schedule.entry(order_id).due is not None
    client.post(f"{LIST}?where=due", {**chosen, "post": "yes"})
    assert site.expiry.schedule.entry(order_id).due is None
    assert links.decode(LogEntry.objects.earliest("pk").object_id or "") == order_id
    assert client.get("/admin/").status_code == 200  # with its recent actions


@pytest.mark.parametrize("key", ["hex:zz", "hex:f"])
def test_a_key_that_is_none_is_not_found(site: Site, key: str) -> None:
    assert site.operator.get(f"{LIST}{key}/change/").status_code == 404


def test_the_search_finds_any_order(site: Site) -> None:
    order_id = site.place(enqueue=False)
    response = site.operator.get(LIST, {"q": f" {order_id} "}, follow=True)
    assert response.redirect_chain == [(page_of(order_id), 302)]
    assert "Next: reconcile schedules it" in response.text
    assert "there is no row" in site.operator.get(LIST, {"q": "a/b"}, follow=True).text


def test_the_page_of_an_order_tells_its_last_failure(site: Site) -> None:
    # given an order without a row, that was tried once
    site.expiry.schedule.enqueue([("6ba7b810-9dad-11d1-80b4-00c04fd430c8", 1.0)])
    claim = site.expiry.schedule.claim(10)
    site.expiry.expire([claimed.order_id for claimed in claim.claimed], claim.lease)
    # then
    text = site.operator.get(page_of("6ba7b810-9dad-11d1-80b4-00c04fd430c8")).text
    assert "Attempt 1 failed" in text
    assert "the table has no such row" in text
    assert f"{datetime.now(UTC):%Y}" in text
    assert "Next: attempt 2 of 10" in text


def test_a_redis_that_is_down_is_told_and_no_traceback(
    site: Site, monkeypatch: pytest.MonkeyPatch, settings_of_redis: str
) -> None:
    order_id = site.place(enqueue=False)
    client = site.operator
    for address in (LIST, page_of(order_id)):
        response = client.get(address)
        assert response.status_code == 503
        assert "Redis at ORDERS_REDIS_URL" in response.text
    for address in (LIST, page_of(order_id)):
        chosen = {"action": "remove", "post": "yes", "_selected_action": order_id}
        assert "That failed: Redis at" in client.post(address, chosen, follow=True).text
    assert not LogEntry.objects.exists()


@pytest.fixture
def settings_of_redis(site: Site, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a Redis that is not there, which is the project's from now on."""
    from django.conf import settings as django_settings  # noqa: PLC0415

    url = f"redis://127.0.0.1:{free_port()}"
    monkeypatch.setattr(django_settings, "ORDERS", {**django_settings.ORDERS, "REDIS_URL": url})
    site.expiry = process.configure()
    return url
