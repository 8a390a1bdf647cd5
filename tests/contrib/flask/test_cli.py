"""``flask orders …``: the verbs of ``orders``, on the app."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa
from flask import Flask

from orders.contrib.flask import Orders
from orders.errors import ConfigError
from tests.contrib.flask.conftest import FlaskShop, MakeShop


def run(shop: FlaskShop, *arguments: str) -> tuple[int, str]:
    ran = shop.app.test_cli_runner().invoke(args=["orders", *arguments])
    return ran.exit_code, ran.output


def test_verbs_work_on_the_app(make_shop: MakeShop) -> None:
    shop, other = make_shop(), make_shop()
    order_id = str(shop.place())
    assert run(shop, "extend", order_id, "--timeout", "3600") == (0, f"{order_id}: extended\n")
    code, output = run(shop, "explain", order_id, "--json")
    assert code == 0
    assert json.loads(output)["state"] == "pending"
    assert run(shop, "pay", order_id, "--reference", "ch_1") == (0, f"{order_id}: accepted\n")
    assert shop.status(int(order_id)) == "paid"
    assert run(other, "pay", order_id)[0] == 1
    assert json.loads(run(other, "stats", "--json")[1])["scheduled"] == 0


def test_sweep_expires_with_the_hooks_of_the_app(make_shop: MakeShop) -> None:
    shop = make_shop()
    seen: list[object] = []
    shop.expiry.on_expire(lambda session, order_ids: seen.extend(order_ids))
    order_id = shop.place(due=-1)
    code, output = run(shop, "sweep", "--json")
    assert (code, json.loads(output)) == (0, {"claimed": 1, "expired": 1})
    assert seen == [order_id]


def test_forecast_and_audit_ask_the_apps_database(make_shop: MakeShop) -> None:
    shop, other = make_shop(), make_shop()
    shop.place(due=-1)
    shop.place(due=600)
    assert json.loads(run(shop, "forecast", "--json")[1])["expiring"] == 2
    assert json.loads(run(other, "forecast", "--json")[1])["expiring"] == 0
    run(shop, "sweep")
    code, output = run(shop, "audit", "--json")
    told = json.loads(output)
    assert (code, told["is_right"], told["expired"], told["scheduled"]) == (0, True, 1, 1)


def test_dead_letters(make_shop: MakeShop) -> None:
    shop = make_shop()
    assert run(shop, "dead", "list") == (0, "no dead letters\n")
    code, output = run(shop, "dead", "--help")
    assert code == 0
    assert "requeue" in output


def test_what_does_not_exist_is_said_with_status_1(make_shop: MakeShop) -> None:
    shop = make_shop()
    code, output = run(shop, "explain", "nope")
    assert (code, output.splitlines()[0]) == (1, "order nope: no such order")
    assert run(shop, "check", "42") == (1, "42: missing\n")
    assert run(shop, "dead", "requeue", "42") == (1, "42: no dead letter\n0 requeued\n")
    assert run(shop, "dead", "drop", "42") == (1, "42: no dead letter\n0 dropped\n")


def test_help_lists_the_verbs_and_each_explains_itself(make_shop: MakeShop) -> None:
    shop = make_shop()
    code, output = run(shop, "--help")
    assert code == 0
    listed = {line.split()[0] for line in output.splitlines() if line.startswith("  ")}
    assert {"pay", "extend", "dead", "init-db", "reconcile"} <= listed
    assert not {"demo", "up"} & listed
    assert "--reference" in run(shop, "pay", "--help")[1]


def test_an_error_is_one_line(make_shop: MakeShop) -> None:
    shop = make_shop()
    code, output = run(shop, "enqueue", "42", "--expires-at", "soon")
    assert code == 1
    assert output.startswith("error: --expires-at is 'soon'")
    code, output = run(shop, "up")
    assert code == 1
    assert "`up` is not available here" in output


def test_init_db_creates_the_table_of_events(make_shop: MakeShop) -> None:
    shop = make_shop(ORDERS_EVENTS_TABLE="happened")
    assert run(shop, "init-db") == (
        0,
        "table happened: exists, not changed\ntable happened_webhooks: exists, not changed\n",
    )
    with shop.app.app_context():
        shop.db.session.execute(sa.text("DROP TABLE happened"))
        shop.db.session.commit()
    assert run(shop, "init-db") == (0, "table happened: created\ntable happened_webhooks: exists, not changed\n")


def test_a_shop_may_have_commands_called_orders_itself() -> None:
    app = Flask("shop")
    app.cli.command("orders")(lambda: None)
    with pytest.raises(ConfigError, match=r"the app 'shop' already has the command `flask orders`"):
        Orders(app)
    Orders(app, command="expiry")
    assert "reconcile" in app.test_cli_runner().invoke(args=["expiry", "--help"]).output
