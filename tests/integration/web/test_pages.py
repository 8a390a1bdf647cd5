"""What the operators' page shows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event

import pytest
from werkzeug.test import Client

from orders.expiry import OrderExpiry, pause_schedule
from orders.expiry.pause import BRAKE
from orders.operate.doctor import error, ok
from orders.operate.web.state import Recent
from orders.schedule import Schedule
from tests.conftest import Shop
from tests.page import bury, examined, listed, page_of, tiles, words

LIVE = {"HX-Request": "true"}

UNKNOWN = "\u2013"


def test_a_new_shop_sees_what_to_do(page: Client) -> None:
    overview = page.get("/")
    assert overview.status_code == 200
    assert tiles(overview) == {"pending": "0", "due": "0", "leased": "0", "kept": "0", "dead": "0"}
    assert "No sweep has run yet Start a worker and beat" in words(overview)
    assert "Nothing is scheduled. Call orders.enqueue when an order is placed." in words(overview)
    for where in tiles(overview):
        assert 'class="empty"' in page.get(f"/orders?where={where}").text


def test_the_overview_counts_and_says_what_is_next_and_what_failed(shop: Shop, page: Client) -> None:
    # given orders in every state: two leased, one due, one that a condition keeps, two to come, and three dead letters
    page = page_of(kept := shop.configured(condition="id <> 'kept'"))
    shop.place("1", "2")
    shop.schedule.claim(10)
    shop.place("3", "kept")
    kept.schedule.remove(["kept"])
    shop.place("later", due=7200)
    shop.place("soon", due=600)
    bury(shop, a="no stock of 17", b="no stock of 18", c="the place is broken")
    # when an operator looks
    overview = page.get("/")
    # then the counts are there, the next one first, and the reasons by their number of orders
    assert tiles(overview) == {"pending": "2", "due": "1", "leased": "2", "kept": "1", "dead": "3"}
    text = words(overview)
    assert "3 dead letters need you" in text
    assert text.index("soon") < text.index("later")
    assert "in 10 min" in text or "in 9 min" in text
    assert "no stock of … 2 the place is broken 1" in text


def test_the_verdict_is_the_worst_that_is_known(shop: Shop, page: Client) -> None:
    shop.schedule.claim(1)
    assert "Orders expire on time" in words(page.get("/"))
    shop.place("waiting", due=-600)
    assert "Orders expire late: the first one has been due for 600 s" in words(page.get("/"))
    shop.schedule.note("swept_at", shop.schedule.now() - 45)
    assert "No sweep for 45 s, and one is due every 10 s" in words(page.get("/"))
    pause_schedule(shop.expiry, 600, reason="a migration", by="bob")
    assert "Paused: nothing expires Paused since" in (paused := words(page.get("/")))
    assert "by bob" in paused
    assert "a migration" in paused
    pause_schedule(shop.expiry, 600, reason="too many", by=BRAKE)
    assert "Braked: nothing expires" in words(page.get("/"))


def test_a_poll_gets_the_live_part_and_polls_itself(shop: Shop, page: Client) -> None:
    shop.place("1", due=60)
    # given a filter, and arguments that mean something to Flask
    url = "/orders?where=pending&within=10+minutes&_external=1&_scheme=javascript"
    # when the page is opened, and then polled
    for headers in ({}, LIVE):
        found = page.get(url, headers=headers)
        # then what polls has the address of the page, and nothing else
        assert f'hx-get="{url.replace("&", "&amp;")}"' in found.text
        assert listed(found) == ["1"]
    assert "<html" not in found.text
    assert found.headers["Vary"] == "HX-Request"


def test_lists_are_filtered_and_paged(shop: Shop, page: Client) -> None:
    shop.place(*range(1, 61), due=300)
    shop.place("tomorrow", due=80_000)
    first = page.get("/orders")
    assert len(listed(first)) == 50
    assert "Page 1 of 2, 61 orders" in words(first)
    assert len(listed(page.get("/orders?p=2"))) == 11
    assert len(listed(page.get("/orders?p=99999999999"))) == 11
    within = page.get("/orders?within=1+hour")
    assert "Page 1 of 2, 60 orders" in words(within)
    assert "within=1+hour" in within.text  # the links to other pages keep the filter
    assert "No order matches the filter." in words(page.get("/orders?within=1+minute"))


def test_dead_letters_are_listed_by_reason(shop: Shop, page: Client) -> None:
    bury(shop, a="no stock of 17", b="no stock of 18", c="the place is broken")
    assert listed(page.get("/orders?where=dead")) == ["a", "b", "c"]
    found = page.get("/orders", query_string={"where": "dead", "reason": "no stock of …"})
    assert listed(found) == ["a", "b"]
    assert "All 2 of this reason" in words(found)


def test_kept_orders_are_listed_by_their_rows(shop: Shop, page: Client) -> None:
    shop.place("old", "kept-1", "kept-2")
    page = page_of(shop.configured(condition="id NOT LIKE 'kept%'"))
    assert listed(page.get("/orders?where=kept")) == ["kept-1", "kept-2"]


def test_an_order_has_its_life_and_what_comes_next(shop: Shop, page: Client) -> None:
    shop.place("42", due=600)
    found = page.get("/order?id=42")
    assert found.status_code == 200
    assert "Next: a sweep claims it, and a worker expires it" in words(found)
    assert "Extend… Hold… Expire now… Remove…" in words(found)
    unknown = page.get("/order?id=nobody")
    assert unknown.status_code == 404
    assert "Nobody knows this order" in words(unknown)
    # and the search finds it
    assert page.get("/?q=42").headers["Location"] == "/order?id=42"


def test_the_plots_get_their_points(shop: Shop, page: Client) -> None:
    shop.place("1")
    shop.claim_and_expire("1")
    hour = page.get("/history.json?span=hour").get_json()
    assert {len(column) for column in hour.values()} == {60}
    assert sum(hour["expired"]) == 1
    assert page.get("/history.json?span=day").get_json()["expired"][-2:] in ([0, 1], [1, 0])
    assert page.get("/history.json?span=year").status_code == 404
    assert "Orders, last hour: 1 expired, 0 paid, 0 failed; lateness p99 at most" in page.get("/").text


def test_the_forecast_and_the_doctor_have_pages(shop: Shop, page: Client) -> None:
    shop.place("1", due=600)
    forecast = page.get("/forecast", headers=LIVE)
    assert "1 order. From" in words(forecast)
    late = error("schedule.sweeps", "no sweep for 45 s", "Start beat: `celery -A tasks beat`.")
    examined(page, late, *(ok(f"redis.{number}", "fine") for number in range(5)))
    doctor = page.get("/doctor")
    assert "Errors 1 schedule.sweeps no sweep for 45 s Start beat: celery -A tasks beat . In order 5" in words(doctor)
    card = page.get("/doctor", headers=LIVE)
    assert "schedule.sweeps no sweep for 45 s All findings , examined now" in words(card)
    assert "redis.1" not in card.text


def test_the_rest_is_shown_if_the_database_is_down(shop: Shop, page: Client) -> None:
    shop.place("1", due=600)
    with shop.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE orders")
    overview = page.get("/")
    assert overview.status_code == 503
    assert (tiles(overview)["pending"], tiles(overview)["kept"]) == ("1", UNKNOWN)
    assert "Something cannot be reached" in words(overview)
    assert listed(page.get("/orders")) == ["1"]


def test_the_rest_is_shown_if_redis_is_down(shop: Shop, page: Client) -> None:
    # given a page whose Redis cannot be reached
    shop.place("1", due=600)
    settings = shop.settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    page = page_of(shop, OrderExpiry(settings, Schedule.connect(settings), shop.store, clock=shop.clock))
    # when an operator looks
    for address in ("/", "/orders", "/order?id=1", "/pause"):
        found = page.get(address)
        # then the page says why, and a page that is open can show it
        assert found.status_code == 503
        assert "Redis" in words(found)
        assert "data-problem" in found.text
    assert page.get("/", headers=LIVE).status_code == 503
    # and shows what the database knows
    assert tiles(page.get("/"))["kept"] == "0"
    assert "1 order. From" in words(page.get("/forecast"))
    # and an action that fails says so
    failed = page.post("/act", data={"action": "remove", "where": "pending", "id": "1"}, follow_redirects=True)
    assert "That failed:" in words(failed)


@pytest.mark.parametrize(
    ("url", "status", "text"),
    [
        ("/nothing", 404, "Not Found"),
        ("/orders?where=nowhere", 404, "There is no list 'nowhere'. The lists are pending, due, leased, kept, dead."),
        ("/order?id=", 404, "This is not a valid order id."),
        ("/confirm", 405, "Method Not Allowed"),
    ],
)
def test_errors_have_pages_of_ours(page: Client, url: str, status: int, text: str) -> None:
    found = page.get(url)
    assert found.status_code == status
    assert text in words(found)
    assert "To the overview" in words(found)


def test_times_are_absolute_with_a_zone_and_relative(shop: Shop, page: Client) -> None:
    due = datetime.now(UTC) + timedelta(days=3, minutes=5)
    shop.schedule.enqueue([("1", due.timestamp())])
    assert f"{due.astimezone():%Y-%m-%d %H:%M:%S %Z} in 3 d" in words(page.get("/orders"))


def test_a_slow_result_is_got_once_and_others_show_the_last_one() -> None:
    # given a result that is too old, and a thread that gets a new one
    numbers, is_asked, is_there = iter((1, 2, 3)), Event(), Event()

    def get() -> int:
        is_asked.set()
        is_there.wait(60)
        return next(numbers)

    is_there.set()
    recent = Recent(get, 0.0)
    assert recent.value() == 1
    is_asked.clear()
    is_there.clear()
    with ThreadPoolExecutor() as pool:
        newer = pool.submit(recent.value)
        assert is_asked.wait(60)
        # when another one asks, then it does not wait
        assert recent.value() == 1
        is_there.set()
        assert newer.result(60) == 2
