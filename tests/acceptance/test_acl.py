"""The page about high availability: a Redis with TLS, and the users that it names, each with the least rights."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from redis import Redis
from redis.exceptions import NoPermissionError, RedisError

from orders.config.settings import Settings
from orders.embedded import free_port
from orders.expiry.use_cases import OrderExpiry
from orders.schedule.clients import client
from orders.store.outcomes import PaymentVerdict
from orders.store.sql_store import SqlStore
from tasks.broker import broker
from tests.acceptance.conftest import Watcher, environment, running, wait_until
from tests.blocks import blocks

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "high-availability.md"
SCRIPTS = ROOT / "orders" / "schedule" / "lua"


@dataclass
class Secured:
    """A server that is spoken to over TLS only, by the users of the page."""

    port: int
    authority: str

    def url(self, user: str) -> str:
        return f"rediss://{user}:{user}-password@127.0.0.1:{self.port}/0?ssl_ca_certs={self.authority}"

    def client(self, user: str) -> Redis:
        return client(Settings(redis_url=self.url(user)))


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    program, openssl = shutil.which("redis-check-rdb"), shutil.which("openssl")
    if program is None or openssl is None:
        assert not os.environ.get("CI"), "redis-tools or openssl are missing"
        pytest.skip("redis-tools or openssl are not installed")
    folder = tmp_path_factory.mktemp("secured")
    # The server and this tool are one program, which does what it is called. No wheel brings one that knows TLS.
    (folder / "redis-server").symlink_to(program)
    certificate, key = str(folder / "certificate.pem"), str(folder / "key.pem")
    make = f"{openssl} req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=redis"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-out", certificate, "-keyout", key]
    subprocess.run([*make.split(), *names], check=True, capture_output=True)
    (folder / "users.acl").write_text(f"{_rules()}user admin on >admin-password ~* &* +@all\n")
    found = Secured(free_port(), certificate)
    options = f"""
        --port 0 --tls-port {found.port} --tls-auth-clients no
        --tls-cert-file {certificate} --tls-key-file {key} --tls-ca-cert-file {certificate}
        --aclfile {folder}/users.acl --dir {folder} --logfile {folder}/redis.log --save
    """
    with subprocess.Popen([folder / "redis-server", *options.split(), ""]) as process:
        try:
            wait_until(lambda: process.poll() is not None or _answers(found), within=20, why="Redis is not ready")
            assert process.poll() is None, (folder / "redis.log").read_text()
            yield found
        finally:
            process.terminate()


def _rules() -> str:
    (rules,) = [block.text for block in blocks(PAGE.read_text()) if block.text.startswith("user ")]
    return rules


def _answers(secured: Secured) -> bool:
    try:
        with secured.client("admin") as redis:
            return bool(redis.ping())
    except RedisError:
        return False


def test_each_user_can_do_its_work_and_is_refused_nothing(secured: Secured, tmp_path: Path) -> None:
    # given a web app, workers and beat, each with the user of the page
    database = f"sqlite:///{tmp_path / 'shop.db'}"
    web = Settings(redis_url=secured.url("shop"), database_url=database)
    work = Settings(
        redis_url=secured.url("orders"), broker_url=secured.url("celery"), database_url=database, sweep_interval=1.0
    )
    with closing(OrderExpiry.connect(web)) as expiry, Watcher(broker(work)) as watcher:
        engine = sa.create_engine(database)
        soon = datetime.now(UTC) + timedelta(seconds=1)
        _create_orders(web, engine, range(1, 52), soon)
        # when the web app does what it does
        expiry.enqueue_many((number, soon) for number in range(1, 51))
        assert expiry.extend("1", expires_at=soon + timedelta(hours=1))
        assert expiry.pay("2").verdict is PaymentVerdict.ACCEPTED
        assert expiry.remove("3")
        assert expiry.explain("4").order_id == "4"
        # then the others do the rest, and the command line finds 3 and 51
        celery = ["celery", "-A", "tasks"]
        with (
            running("worker", [*celery, "worker", "-c", "2", "-l", "INFO"], work, tmp_path),
            running("beat", [*celery, "beat", "-l", "INFO"], work, tmp_path),
        ):
            _run("orders.cli", "reconcile", "--all", settings=work, folder=tmp_path)
            wait_until(lambda: _expired(engine) == 49, within=30, why="orders were left")
            wait_until(lambda: watcher.of("task-succeeded", "orders.expire"), within=10, why="no events came")
            assert "pong" in _run(*celery, "inspect", "ping", settings=work, folder=tmp_path)
        engine.dispose()
    with secured.client("orders") as redis:
        assert redis.info("memory")["maxmemory_policy"]  # which `orders doctor` looks at
    with secured.client("admin") as admin:
        refused = {entry["object"] for entry in admin.acl_log()}
        assert refused <= {"client", "client|setinfo"}  # which redis-py tries, and does without
    assert "Traceback" not in (tmp_path / "worker.log").read_text()


def _create_orders(settings: Settings, engine: sa.Engine, numbers: Iterable[int], deadline: datetime) -> None:
    with closing(SqlStore(settings)) as store:
        assert store.create_table("integer")
        assert store.create_outbox()
    insert = sa.text("INSERT INTO orders (id, status, expires_at) VALUES (:id, 'pending', :due)")
    with engine.begin() as connection:
        connection.execute(insert, [{"id": number, "due": deadline.replace(tzinfo=None)} for number in numbers])


def _run(*module: str, settings: Settings, folder: Path) -> str:
    """Run a module with its arguments to its end; return what it prints."""
    command, given = [sys.executable, "-m", *module], environment(settings)
    ended = subprocess.run(command, env=given, cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def _expired(engine: sa.Engine) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(sa.text("SELECT count(*) FROM orders WHERE status = 'expired'")) or 0)


@pytest.mark.parametrize(
    ("user", "scripts"),
    [("shop", ["enqueue", "remove", "entry"]), ("orders", [path.stem for path in SCRIPTS.glob("*.lua")])],
)
def test_each_user_may_do_all_that_its_scripts_do(user: str, scripts: list[str]) -> None:
    (rule,) = [line for line in _rules().splitlines() if line.startswith(f"user {user} ")]
    called = {call for script in scripts for call in _calls((SCRIPTS / f"{script}.lua").read_text())}
    assert called <= set(re.findall(r"\+(\w+)", rule))


def _calls(script: str) -> list[str]:
    return [call.lower() for call in re.findall(r"redis\.call\('(\w+)'", script)]


@pytest.mark.parametrize("user", ["shop", "orders", "celery"])
@pytest.mark.parametrize("command", ["FLUSHALL", "KEYS *", "CONFIG GET dir", "ACL LIST", "GET other", "SHUTDOWN"])
def test_no_user_can_do_what_nobody_needs(secured: Secured, user: str, command: str) -> None:
    with secured.client(user) as redis, pytest.raises(NoPermissionError):
        redis.execute_command(*command.split())


@pytest.mark.parametrize(
    ("user", "command"),
    [
        ("shop", "LPUSH orders.expire x"),
        ("shop", "HGET {orders}:stats expired"),
        ("shop", "ZREM {orders}:leases x"),
        ("shop", "PUBLISH /0.celery.pidbox x"),
        ("orders", "LPUSH orders.expire x"),
        ("orders", "ZADD other 1 x"),
        ("celery", "ZADD orders 1 42"),
        ("celery", "DEL {orders}:dead"),
        ("celery", "PUBLISH other x"),
    ],
)
def test_no_user_can_touch_what_is_anothers(secured: Secured, user: str, command: str) -> None:
    with secured.client(user) as redis, pytest.raises(NoPermissionError):
        redis.execute_command(*command.split())


def test_a_script_gives_nobody_more_rights(secured: Secured) -> None:
    with secured.client("shop") as redis, pytest.raises(RedisError, match=r"can't run|not allowed|NOPERM"):
        redis.eval("return redis.call('ZRANGE', KEYS[1], 0, -1)", 1, "orders")


def test_nobody_is_let_in_without_a_name_or_by_a_stranger(secured: Secured) -> None:
    place, _, options = secured.url("shop").partition("@")[2].partition("?")
    for url, told in (
        (f"rediss://{place}?{options}", "Authentication required"),
        (secured.url("shop").partition("?")[0], "certificate verify failed"),
    ):
        with client(Settings(redis_url=url)) as redis, pytest.raises(RedisError, match=told):
            redis.zcard("orders")
