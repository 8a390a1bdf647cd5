"""The commands and the probes of the deployment files, run as they stand there."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from orders.config.settings import Settings
from orders.embedded import EmbeddedRedis, free_port
from orders.expiry.use_cases import OrderExpiry
from orders.store.sql_store import SqlStore
from tests.acceptance.conftest import environment, wait_until
from tests.deployment.manifests import BIN, ROOT, Manifest, compose, containers, exec_start, literals

HEARTBEAT = "ORDERS_HEARTBEAT_FILE"

LOGIN = "oncall:secret"


@dataclass
class Host:
    """A folder, a Redis and a database, in which commands of the deployment files run."""

    folder: Path
    redis: EmbeddedRedis
    settings: Settings
    stack: ExitStack
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def environment(self, name: str) -> dict[str, str]:
        own = {**literals(), HEARTBEAT: str(self.folder / f"{name}.heartbeat"), "FLOWER_BASIC_AUTH": LOGIN}
        path = f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        return {**own, **environment(self.settings), "PATH": path}

    def start(self, name: str, command: list[str]) -> None:
        log = (self.folder / f"{name}.log").open("wb")
        process = subprocess.Popen(command, cwd=self.folder, env=self.environment(name), stdout=log, stderr=log)
        log.close()
        self.processes[name] = process
        self.stack.callback(_stop, process)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def passes(self, name: str, probe: str) -> bool:
        """Tell what a probe of Kubernetes's says of a process."""
        command: list[str] = containers()[name][probe]["exec"]["command"]
        # (a Redis that hangs is not waited for as long as by default)
        own = {**self.environment(name), "ORDERS_REDIS_URL": f"{self.redis.url}?socket_timeout=1"}
        return subprocess.run(command, env=own, check=False).returncode == 0

    def is_ready(self, name: str) -> bool:
        return self.passes(name, "readinessProbe")

    def is_alive(self, name: str) -> bool:
        return self.passes(name, "livenessProbe")

    def heartbeat(self, name: str) -> Path:
        return self.folder / f"{name}.heartbeat"

    @contextmanager
    def stopped(self, name: str) -> Iterator[None]:
        """Have a process hang."""
        self.processes[name].send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.processes[name].send_signal(signal.SIGCONT)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("host")
    with ExitStack() as stack:
        redis = stack.enter_context(EmbeddedRedis(folder / "redis"))
        url = f"sqlite:///{folder / 'shop.db'}"
        settings = Settings(redis_url=redis.url, database_url=url, sweep_interval=1.0)
        with closing(SqlStore(settings)) as store:
            store.create_table("text")
            store.create_outbox()
        host = Host(folder, redis, settings, stack)
        host.start("worker", exec_start("order-expiry-worker@.service"))
        host.start("sweeper", exec_start("order-expiry-sweeper@.service"))
        host.start("beat", containers()["beat"]["command"])
        yield host
        for process in host.processes.values():  # all at once
            process.terminate()


def _expires(host: Host, order_id: str) -> Callable[[], bool]:
    """Place an order that is due; return what tells whether it has been expired."""
    database = host.folder / "shop.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO orders VALUES (?, 'pending', '2020-01-01 00:00:00')", (order_id,))
    with closing(OrderExpiry.connect(host.settings)) as expiry:
        expiry.enqueue(order_id, timeout=0)

    def is_expired() -> bool:
        with closing(sqlite3.connect(database)) as connection:
            found = connection.execute("SELECT status FROM orders WHERE id = ?", (order_id,))
            return bool(found.fetchone() == ("expired",))

    return is_expired


def _same(command: list[str]) -> list[str]:
    """Return a command without what differs from place to place: names of hosts, addresses, defaults."""
    words = [word for word in command if not word.startswith(("--hostname=", "--address=", "--port="))]
    return [Path(words[0]).name, *words[1:]]


def test_the_deployment_files_start_the_same_commands() -> None:
    services, deployments = compose(), containers()
    lines = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    for name in ("worker", "sweeper", "beat"):
        template = "" if name == "beat" else "@"
        started = [
            services[name]["command"],
            deployments[name]["command"],
            exec_start(f"order-expiry-{name}{template}.service"),
            lines[name].split(),
        ]
        assert len({tuple(_same(command)) for command in started}) == 1, started
    flower = exec_start("order-expiry-flower.service")
    assert _same(flower) == _same(services["flower"]["command"]) == _same(lines["flower"].split())
    assert " ".join(_same(flower)) in deployments["flower"]["command"][-1].replace(" --port=5555", "")
    assert services["metrics"]["command"] == deployments["metrics"]["command"]


def test_the_health_checks_of_compose_are_the_probes_of_kubernetes() -> None:
    services, ready = compose(), containers()["worker"]["readinessProbe"]["exec"]["command"][-1]
    for name in ("worker", "sweeper", "beat"):
        [_, script] = services[name]["healthcheck"]["test"]
        assert script.replace("$$", "$") == ready.replace(" 2>/dev/null", "")
    for name in ("sweeper", "beat"):
        assert containers()[name]["livenessProbe"] == containers()["worker"]["livenessProbe"]


def test_they_expire_orders_and_the_probes_say_so(host: Host) -> None:
    is_expired = _expires(host, "1")
    wait_until(is_expired, within=30, why="nothing expired the order")
    for name in ("worker", "sweeper"):
        assert host.is_ready(name)
        assert host.is_alive(name)
    assert host.is_alive("beat")
    assert re.search(r"worker-1@\S+ ready", host.log("worker"))
    assert re.search(r"sweeper-1@\S+ ready", host.log("sweeper"))


def test_a_process_that_hangs_is_not_alive(host: Host) -> None:
    for name in ("worker", "beat"):
        wait_until(host.heartbeat(name).exists, within=30, why=f"the {name} has no heartbeat")
    for name in ("worker", "beat"):
        with host.stopped(name):
            assert host.is_alive(name)  # it may be busy
            _make_older(host.heartbeat(name), 61)
            assert not host.is_alive(name)
        wait_until(lambda name=name: host.is_alive(name), within=10, why=f"the {name} is not alive again")  # type: ignore[misc]


def test_a_process_that_waits_for_a_redis_that_hangs_is_alive(host: Host) -> None:
    wait_until(host.heartbeat("worker").exists, within=30, why="the worker has no heartbeat")
    with host.stopped("worker"):
        _make_older(host.heartbeat("worker"), 61)
        with _hanging(host.redis):
            assert host.is_alive("worker")
        assert not host.is_alive("worker")
    wait_until(lambda: host.is_ready("worker"), within=20, why="the worker is not ready again")


def test_without_redis_nobody_is_restarted_and_no_worker_is_ready(host: Host) -> None:
    # given a deployment that works, and Redis dies
    wait_until(lambda: host.is_ready("worker"), within=30, why="the worker is not ready")
    os.kill(host.redis.pid, signal.SIGKILL)
    host.redis.stop()  # (which is to say, wait for it)
    # then workers say that they are not ready, and none would be restarted
    wait_until(lambda: not host.is_ready("worker"), within=15, why="the worker says that it is ready, without Redis")
    assert host.is_alive("worker")
    _make_older(host.heartbeat("beat"), 61)
    wait_until(lambda: host.is_alive("beat"), within=15, why="beat ticks no more, without Redis")
    # and when it is back they work again
    host.redis.start()
    is_expired = _expires(host, "2")
    wait_until(lambda: host.is_ready("worker"), within=30, why="the worker does not come back")
    wait_until(is_expired, within=30, why="nothing expired the order")
    assert all(process.poll() is None for process in host.processes.values())


def test_flower_and_metrics_answer_their_probes(host: Host) -> None:
    flower, metrics = free_port(), free_port()
    [shell, option, script] = containers()["flower"]["command"]
    host.start("flower", [shell, option, script.replace("--port=5555", f"--address=127.0.0.1 --port={flower}")])
    served = exec_start("order-expiry-metrics.service")
    host.start("metrics", [*served[:-1], str(metrics)])
    assert served[-2:] == ["--port", "9540"]
    probe: Manifest = containers()["flower"]["livenessProbe"]["httpGet"]
    assert probe["port"] == "http"
    wait_until(lambda: _answers(f"http://127.0.0.1:{flower}{probe['path']}"), within=30, why="Flower does not answer")
    with pytest.raises(HTTPError, match="401"):  # but to who has the login
        urlopen(f"http://127.0.0.1:{flower}/api/workers")
    wait_until(lambda: _answers(f"http://127.0.0.1:{metrics}/metrics"), within=30, why="nobody serves metrics")
    with urlopen(f"http://127.0.0.1:{metrics}/metrics") as answer:
        assert b"order_expiry_pending" in answer.read()


def test_kubernetes_starts_no_flower_without_a_login() -> None:
    given = {"PATH": os.environ.get("PATH", os.defpath)}
    command: list[str] = containers()["flower"]["command"]
    refused = subprocess.run(command, env=given, capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert "set user:password" in refused.stderr


@contextmanager
def _hanging(redis: EmbeddedRedis) -> Iterator[None]:
    os.kill(redis.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(redis.pid, signal.SIGCONT)


def _make_older(file: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(file, (then, then))


def _answers(url: str) -> bool:
    try:
        with urlopen(url) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
