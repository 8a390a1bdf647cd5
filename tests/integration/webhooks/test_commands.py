"""``orders webhooks``, and what the doctor and the metrics tell of webhooks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry, generate_latest

from orders import process
from orders.errors import ConfigError, InvalidDeadline
from orders.operate.doctor import Patient, Severity, about_webhooks
from orders.operate.metrics import OrdersCollector
from orders.store import Outbox, Webhooks
from tests.conftest import Shop
from tests.integration.cli.command import run
from tests.integration.webhooks.conftest import expire, posting
from tests.integration.webhooks.receiver import SECRET, Receiver

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

Two = tuple[Shop, Receiver, Receiver]


@pytest.fixture
def two(shop: Shop, receivers: Callable[[], Receiver]) -> Iterator[Two]:
    """A shop with two receivers, the second of which refuses what is for order 42."""
    erp, crm = receivers(), receivers()
    crm.answer = lambda received: 400 if received.order_id == "42" else 200
    crm.text = b"what\r\n\x1b[31mis 42?"
    shop.create()
    shop = posting(shop, f"erp={erp.url}?token=hidden crm={crm.url}")
    expire(shop, "41", "42")
    shop.expiry.deliver()
    with process.using(shop.expiry):
        yield shop, erp, crm


def findings(shop: Shop) -> list[tuple[Severity, str, str]]:
    found = about_webhooks.CHECKS["database.webhooks"](Patient(shop.expiry))
    return [(each.severity, each.found, each.advice) for each in found]


def bury(shop: Shop) -> None:
    """Let four days pass for the event that is refused."""
    for _ in range(10):
        shop.clock.advance(200_000)
        shop.expiry.deliver()


def test_the_list_shows_each_endpoint(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shop, erp, crm = two
    shop.clock.advance(600)
    lines = [line.replace("│", "").split() for line in run("webhooks", "list").stdout.splitlines()[3:-1]]
    told = ["what", "\ufffd[31mis", "42?"]
    assert lines == [
        ["crm", crm.url.removesuffix("/hook"), "1", "1", "0", "10", "min", "ago", "400", *told],
        ["erp", erp.url.removesuffix("/hook"), "0", "2", "0", "ok"],
    ]
    assert "hidden" not in run("webhooks", "list").output
    rows = {row["endpoint"]: row for row in json.loads(run("webhooks", "list", "--json").stdout)}
    assert (rows["crm"]["waiting"], rows["crm"]["delivered"], rows["crm"]["dead"]) == (1, 1, 0)
    assert rows["erp"]["url"] == erp.url.removesuffix("/hook")


def test_dead_letters_are_replayed(two: Two) -> None:
    shop, _, crm = two
    bury(shop)
    assert json.loads(run("webhooks", "list", "--json").stdout)[0]["dead"] == 1
    crm.answer = lambda _: 200
    ran = run("webhooks", "replay", "--dead")
    assert (ran.exit_code, ran.stdout) == (0, "erp: 0 events to post again\ncrm: 1 event to post again\n")
    assert shop.expiry.deliver()["posted"] == 1
    ran = run("webhooks", "replay", "--dead")
    assert ran.exit_code == 1


def test_events_are_replayed_by_time_and_by_id(two: Two) -> None:
    shop, erp, _ = two
    [event] = shop.events("41")
    assert run("webhooks", "replay", "erp", "--since", "1h").stdout == "erp: 2 events to post again\n"
    assert shop.expiry.deliver()["posted"] == 2
    assert run("webhooks", "replay", "erp", "--event", str(event.id)).stdout == "erp: 1 event to post again\n"
    assert shop.expiry.deliver()["posted"] == 1
    assert [order_id for order_id, _ in erp.orders] == ["41", "42", "41", "42", "41"]
    assert len({each.headers["webhook-id"] for each in erp.got if each.order_id == "41"}) == 1
    assert run("webhooks", "replay", "--since", "2000-01-01T00:00Z", "crm").exit_code == 0
    for wrong in ([], ["--dead", "--event", "1"]):
        assert "give one of --dead, --since and --event" in run("webhooks", "replay", *wrong).stderr
    with pytest.raises(InvalidDeadline, match="--since is 'soon'"):
        run("webhooks", "replay", "--since", "soon")
    with pytest.raises(ConfigError, match="no endpoint 'nobody': those in ORDERS_WEBHOOK_URL are erp, crm"):
        run("webhooks", "replay", "nobody", "--dead")


def test_a_trial_is_signed_and_shows_the_answer(two: Two) -> None:
    _, erp, crm = two
    erp.text = b"thanks"
    ran = run("webhooks", "test", "erp")
    assert ran.exit_code == 0
    assert f"erp ({erp.url.removesuffix('/hook')}): 200 thanks (" in ran.stdout
    assert erp.got[-1].event["type"] == "order.test"
    assert erp.got[-1].headers["webhook-id"] in ran.stdout
    crm.answer = lambda _: 503
    ran = run("webhooks", "test")
    assert ran.exit_code == 1
    assert "503 what" in ran.stdout
    assert "\x1b" not in ran.stdout


def test_without_webhooks_the_commands_say_so(shop: Shop) -> None:
    shop.create()
    with process.using(shop.expiry):
        assert run("webhooks", "list").stdout == "no webhooks: ORDERS_WEBHOOK_URL is not set\n"
        with pytest.raises(ConfigError, match="ORDERS_WEBHOOK_URL is not set"):
            run("webhooks", "test")
    assert findings(shop) == [(Severity.OK, "ORDERS_WEBHOOK_URL is not set in this process: no webhooks", "")]


def test_the_doctor_tells_of_endpoints_that_do_not_get_their_events(two: Two) -> None:
    shop, _, crm = two
    erp, behind = findings(shop)
    assert erp == (Severity.OK, "erp: 0 events waiting, the oldest for 0 s; 0 dead", "")
    assert behind[:2][0] is Severity.OK
    shop.clock.advance(4000)
    _, (severity, found, advice) = findings(shop)
    assert severity is Severity.ERROR
    assert found.startswith("crm: 1 event waiting, the oldest for 4,00")
    assert "last error: 400 what" in found
    assert "`orders webhooks test crm`" in advice
    bury(shop)
    _, (severity, found, advice) = findings(shop)
    assert (severity, advice) == (Severity.WARNING, "Mend the receiver, then run `orders webhooks replay crm --dead`.")
    crm.answer = lambda _: 410
    expire(shop, "43")
    shop.expiry.deliver()
    _, (severity, found, _) = findings(shop)
    assert severity is Severity.ERROR
    assert found.startswith("crm has answered 410 Gone, and gets nothing")


def test_the_doctor_tells_of_a_missing_table_and_a_new_endpoint(
    shop: Shop, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.create()
    given = {"webhook_url": f"erp={receiver.url}", "webhook_secret": SECRET, "webhook_allow": "127.0.0.1"}
    [(severity, found, _)] = findings(shop.configured(**given))
    assert (severity, found) == (Severity.WARNING, "erp is not known yet")
    with shop.engine.begin() as connection:
        Webhooks(Outbox(shop.settings, "sqlite", None)).table.drop(connection)
    [(severity, found, advice)] = findings(shop.configured(**given))
    assert (severity, found) == (Severity.ERROR, "the table order_events_webhooks does not exist, so nothing is posted")
    assert "`orders init-db`" in advice
    monkeypatch.setenv("ORDERS_DATABASE_URL", shop.settings.database_url)
    assert run("init-db").stdout == (
        "table orders: exists, not changed\ntable order_events: exists, not changed\n"
        "table order_events_webhooks: created\n"
    )
    with shop.engine.connect() as connection:
        assert sa.inspect(connection).has_table("order_events_webhooks")


def test_the_metrics_of_endpoints(two: Two) -> None:
    shop, _, _ = two
    shop.clock.advance(100)
    registry = CollectorRegistry()
    registry.register(OrdersCollector(shop.expiry))
    lines = dict(line.rsplit(" ", 1) for line in generate_latest(registry).decode().splitlines() if "{" in line)
    told = {
        name: float(lines[f'order_expiry_webhooks_{name}{{endpoint="crm"}}']) for name in ("waiting", "dead", "gone")
    }
    assert told == {"waiting": 1, "dead": 0, "gone": 0}
    assert float(lines['order_expiry_webhooks_oldest_seconds{endpoint="crm"}']) > 99
    assert lines['order_expiry_webhooks_waiting{endpoint="erp"}'] == "0.0"
