"""What an operator sees in the real Flower, and what nobody sees there or in any log."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator

import pytest
from flower.urls import handlers
from playwright.sync_api import Browser, Page, expect

from tests.acceptance.conftest import wait_until
from tests.browser.conftest import DESKTOP, OpenShop
from tests.browser.flower import LOGIN, SECRET, Deployment, deployed

Shoot = Callable[[Page, str], None]

USER, _, PASSWORD = LOGIN.partition(":")
WITH_LOGIN = {**DESKTOP, "http_credentials": {"username": USER, "password": PASSWORD}}

OPEN = {"/healthcheck", "/metrics", "/static/(.*)"}
"""What Flower serves to anybody, even with a login."""

LOGGING_IN = {"/login/?", "/logout"}
"""Has a page for anybody."""


@pytest.fixture(scope="module")
def deployment(
    chromium: Browser, postgres_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """One in which order 42 was expired, order 43 was paid, and order 666 was buried."""
    with deployed(tmp_path_factory.mktemp("flower"), postgres_server) as deployment:
        deployment.place("43", status="paid")
        deployment.place("42", "666", "1420")
        wait_until(lambda: list(deployment.expiry.schedule.dead()), within=20, why="order 666 was not buried")
        wait_until(
            lambda: len(deployment.tasks("state:FAILURE")) == 2 and len(deployment.tasks("result:expired")) == 2,
            within=10,
            why="Flower lacks tasks",
        )
        yield deployment


def test_the_tasks_page_tells_what_happened_to_order_42(
    deployment: Deployment, chromium: Browser, shoot: Shoot
) -> None:
    with OpenShop("flower", deployment.url, chromium).visitor(**WITH_LOGIN) as operator:
        page = operator.page()
        page.goto("/tasks")
        table = page.locator("#tasks-table")
        for column in ("Name", "args", "State", "Result", "Exception"):
            expect(table.locator("thead")).to_contain_text(column)
        # a sweep says what it did
        sweeps = table.locator("tr", has_text="orders.sweep").filter(has_text="claimed")
        expect(sweeps.first).to_contain_text("seconds")
        shoot(page, "tasks")
        # when an operator searches for the order, no other is found
        page.get_by_role("searchbox").fill("args:'42'")
        expect(table.locator("tbody tr")).to_have_count(1)
        expect(table.locator("tbody tr")).to_contain_text("('42',)")
        expect(table.locator("tbody tr")).to_contain_text("{'expired': 1}")
        shoot(page, "search")
        # and the task tells its lease too
        table.locator("a[href*='/task/']").click()
        expect(page.locator("#task-page")).to_contain_text("{'lease': ")
        expect(page.locator("#task-page")).to_contain_text("SUCCESS")
        shoot(page, "task")


def test_a_failed_task_names_its_order_the_reason_and_the_traceback(
    deployment: Deployment, chromium: Browser, shoot: Shoot
) -> None:
    [first, last] = sorted(deployment.tasks("args:'666'"), key=lambda task: task["received"])
    for task in (first, last):
        assert (task["name"], task["state"], task["args"]) == ("orders.expire", "FAILURE", "('666',)")
        assert "666: RuntimeError: the warehouse at postgresql://keeper:***@" in task["exception"]
    with OpenShop("flower", deployment.url, chromium).visitor(**WITH_LOGIN) as operator:
        page = operator.page()
        page.goto(f"/task/{last['uuid']}")
        told = page.locator("#task-page")
        expect(told).to_contain_text("FAILURE")
        expect(told).to_contain_text("in give_back")  # the line of the hook
        expect(told).to_contain_text("ExpiryFailed")
        assert SECRET not in page.content()
        shoot(page, "failure")


def test_the_workers_page_and_the_broker_page_know_the_queues(
    deployment: Deployment, chromium: Browser, shoot: Shoot
) -> None:
    with OpenShop("flower", deployment.url, chromium).visitor(**WITH_LOGIN) as operator:
        page = operator.page()
        page.goto("/workers")
        for name in ("worker@", "sweeper@"):
            expect(page.locator("#workers-table tbody tr", has_text=name)).to_contain_text("Online")
        shoot(page, "workers")
        page.goto("/broker")
        for queue in ("orders.expire", "orders.sweep", "orders.events"):
            expect(page.get_by_role("row").filter(has_text=queue)).to_be_visible()
        shoot(page, "broker")
        [sweeper] = [name for name in json.loads(deployment.ask("/api/workers")[1]) if name.startswith("sweeper@")]
        page.goto(f"/worker/{sweeper}")
        page.get_by_role("tab", name="Queues").or_(page.get_by_role("link", name="Queues")).first.click()
        expect(page.get_by_text("orders.sweep", exact=True).first).to_be_visible()
        assert SECRET not in page.content()  # among the settings of Celery, which it shows, is the broker's URL


def test_without_the_login_flower_tells_nothing_about_orders(deployment: Deployment) -> None:
    # given every page and every call that it has, and that only this host reaches it
    assert deployment.listens_on() == {"127.0.0.1"}
    patterns = {handler[0] if isinstance(handler, tuple) else handler.regex.pattern.rstrip("$") for handler in handlers}
    assert patterns > OPEN
    uuid = deployment.tasks("args:'42'")[0]["uuid"]
    for pattern in sorted(patterns - OPEN - {".*"}):
        path = pattern.replace("(.+)", uuid).replace("(.*)", uuid).replace("/?", "")
        for login in (None, "operator:wrong", "operator", ":"):
            answers = [deployment.ask(path, login=login, data=data) for data in (None, b"{}")]
            # then it asks for the login (or knows no such verb), and says nothing else
            statuses = {status for status, _ in answers}
            assert {401} <= statuses <= {401, 405} or pattern in LOGGING_IN, (path, login, statuses)
            assert all("orders." not in answer for _, answer in answers), (path, login)
    # and what it tells to all are numbers: no order, no argument
    status, metrics = deployment.ask("/metrics", login=None)
    assert status == 200
    assert "'42'" not in metrics
    assert "args" not in metrics


def test_who_has_the_login_can_look_and_not_touch(deployment: Deployment) -> None:
    workers = list(json.loads(deployment.ask("/api/workers")[1]))
    for path in (*(f"/api/worker/shutdown/{name}" for name in workers), "/api/task/send-task/orders.sweep"):
        status, _ = deployment.ask(path, data=b"{}")
        assert status == 403, path
    assert all(process.poll() is None for process in deployment.running.values())


def test_a_batch_is_found_by_any_of_its_ids(deployment: Deployment) -> None:
    # given more due orders than are sent one by one
    deployment.place(*(f"batch-{number}" for number in range(200)))
    # when they have been expired
    wait_until(lambda: deployment.tasks("name:orders.expire result:200"), within=10, why="Flower lacks the batch")
    # then the last of them finds their task
    [task] = deployment.tasks("args:'batch-199'")
    assert (task["state"], task["result"]) == ("SUCCESS", "{'expired': 200}")


def test_every_line_is_json_and_names_its_orders(deployment: Deployment) -> None:
    for name in ("worker", "sweeper", "beat"):
        for line in deployment.lines(name):
            assert {"time", "level", "logger", "message"} <= set(line)
    lines = deployment.lines("worker")
    assert sum(len(line["order_ids"]) for line in lines if line.get("event") == "attempt") >= 5
    [buried] = [line for line in lines if line.get("event") == "buried"]
    assert (buried["level"], buried["order_ids"], buried["attempt"]) == ("ERROR", ["666"], 2)
    assert buried["task_name"] == "orders.expire"
    [attempt] = [line for line in lines if line.get("event") == "attempt" and line["lease"] == buried["lease"]]
    assert attempt["outcomes"] == {"buried": 1}
    [failed] = [line for line in lines if "exception" in line and line.get("task_id") == buried["task_id"]]
    assert "in give_back" in failed["exception"]
    assert any(line.get("event") == "sweep" and line["claimed"] for line in deployment.lines("sweeper"))


def test_no_secret_is_in_a_log_a_key_an_event_or_an_explanation(deployment: Deployment) -> None:
    for name in deployment.running:
        assert SECRET not in deployment.log(name), name
    explained = deployment.expiry.explain("666").as_json()
    assert "keeper:***@" in explained["dead_letter"]["reason"]
    assert SECRET not in str(explained)
    for database in range(2):  # the schedule, the broker
        deployment.redis.select(database)
        for key in deployment.redis.scan_iter("*"):
            assert SECRET.encode() not in (deployment.redis.dump(key) or b""), key
    assert SECRET not in deployment.ask("/api/tasks")[1]
    assert SECRET not in deployment.ask("/api/workers")[1]


REFUSED = "invalid username-password pair"
"""How Redis says no."""


def test_no_secret_is_told_when_servers_refuse_or_are_down(deployment: Deployment) -> None:
    # given passwords that are wrong, in URLs of each form
    wrong = f"redis://:{SECRET}-wrong@127.0.0.1:{deployment.server.port}/0"
    database = f"postgresql://keeper@127.0.0.1:1/kept?password={SECRET}"
    given = {"ORDERS_REDIS_URL": wrong, "ORDERS_BROKER_URL": wrong, "ORDERS_DATABASE_URL": database}
    socket = {"ORDERS_REDIS_URL": f"unix:///nowhere.sock?db=0&password={SECRET}"}
    another = {"ORDERS_DATABASE_URL": deployment.settings.database_url.replace(SECRET, f"{SECRET}-wrong")}
    # when everything is started with them
    said = {
        "check": (["-m", "orders.cli", "check", "42"], another, "password authentication failed"),
        "explain": (["-m", "orders.cli", "explain", "42"], {"ORDERS_LOG_FORMAT": "json"}, "Connection refused"),
        "list": (["-m", "orders.cli", "list"], socket, "No such file or directory"),
        "worker": (["-m", "celery", "-A", "tasks", "worker", "-l", "DEBUG"], {}, REFUSED),
        "beat": (["-m", "celery", "-A", "tasks", "beat", "-l", "DEBUG"], {}, REFUSED),
        "flower": (["-m", "celery", "-A", "tasks", "flower", "--port=0", "--debug"], {}, REFUSED),
    }
    folder = deployment.folder / "refused"
    folder.mkdir()
    running = [
        deployment.run(folder / name, [sys.executable, *arguments], {**given, **changes})
        for name, (arguments, changes, _) in said.items()
    ]
    try:
        # then each says why it cannot, and where, and no more
        for name, (_, _, why) in said.items():
            log = folder / name
            wait_until(lambda log=log, why=why: why in log.read_text(), within=20, why=f"{name} does not say why")  # type: ignore[misc]
    finally:
        for process in running:  # Celery's would wait for their next try
            process.kill()
            process.wait()
    for name in said:
        assert SECRET not in (folder / name).read_text(), name
    assert "password=***" in (folder / "explain").read_text()
    assert json.loads((folder / "explain").read_text())["error"] == "StoreUnavailable"
    assert "redis://:***@127.0.0.1" in (folder / "worker").read_text()
