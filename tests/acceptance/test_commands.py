"""The commands that people type first, as they type them."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import urllib.request
import venv
from contextlib import nullcontext
from pathlib import Path

import psutil
import pytest
from redis import Redis
from typer.testing import CliRunner

from orders.cli import app
from orders.embedded import free_port
from orders.errors import EmbeddedError
from tests.acceptance.conftest import wait_until

ROOT = Path(__file__).parents[2]
ORDERS = [sys.executable, "-m", "orders.cli"]
SHORT = ["demo", "--orders", "40", "--seconds", "10", "--sweep-interval", "1", "--seed", "7"]


def numbers(summary: str) -> dict[str, str]:
    return {name.strip(): value.strip() for name, value in re.findall(r"│ ([a-z ,0-9-]+?) +│ (.+?) +│", summary)}


def test_the_demo_ends_every_order_as_it_must() -> None:
    ran = subprocess.run([*ORDERS, *SHORT], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    told = numbers(ran.stdout)
    assert told["placed"] == "40"
    assert int(told["paid"]) + int(told["expired"]) == 40
    assert int(told["paid"]) > 5
    assert int(told["expired"]) > 5
    assert (told["expired although paid"], told["changed twice"], told["left over"]) == ("0", "0", "0")
    assert int(told["paid too late, to be refunded"]) >= 1
    found, lost = told["found paid by the guard"].split(" of ")
    assert int(found) == int(lost) >= 1
    assert int(told["payments accepted"]) + int(found) == int(told["paid"])
    assert told["stock before, after"] == f"40, {40 - int(told['paid'])}"
    delivered, written = told["events delivered"].split(" of ")
    assert int(delivered) == int(written) >= 40
    assert re.fullmatch(r"[\d.]+, [\d.]+, [\d.]+ ms", told["lateness p50, p99, max"])
    assert re.search(r"^ +\d+\.\d s  placed +\d+  pending +\d+", ran.stdout, re.MULTILINE)  # plain lines
    assert "\x1b[" not in ran.stdout


def test_the_demo_draws_a_live_table_on_a_terminal() -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen([*ORDERS, *SHORT], stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm"})
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:  # the other end was closed
        pass
    os.close(ours)
    assert process.wait() == 0
    assert "orders closed" in shown.decode()
    assert "━" in shown.decode()  # a progress bar
    assert b"\x1b[" in shown


def test_the_demo_fails_if_an_order_is_left_over(monkeypatch: pytest.MonkeyPatch) -> None:
    # given that no worker runs
    module = sys.modules["orders.cli.demo"]  # the package has a function of that name
    monkeypatch.setattr(module, "_celery", lambda *_: nullcontext([]))
    monkeypatch.setattr(module, "_wait_for_sweep", lambda *_: None)
    arguments = ["demo", "--orders", "20", "--seconds", "5", "--sweep-interval", "0.5", "--seed", "7"]
    ran = CliRunner().invoke(app, arguments)
    assert ran.exit_code == 1, ran.output
    assert "Something went wrong" in ran.output
    assert int(numbers(ran.output)["left over"]) > 0


def test_the_demo_says_why_its_worker_did_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orders.cli.processes.environment", lambda settings: {**settings, "ORDERS_LEASE": "soon"})
    ran = CliRunner().invoke(app, ["demo", "--orders", "3"])
    assert isinstance(ran.exception, EmbeddedError)
    assert "ORDERS_LEASE is 'soon'" in str(ran.exception)


def test_up_runs_everything_until_it_is_interrupted_and_leaves_no_process(tmp_path: Path) -> None:
    # given a folder that is used, as `make up` uses it
    environment = {**os.environ, "FLOWER_PORT": str(free_port()), "HOME": str(tmp_path)}
    log = tmp_path / "up.log"
    command = [*ORDERS, "up", "--procfile", str(ROOT / "Procfile")]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=output, stderr=output)
    try:
        wait_until(lambda: "Flower    http://" in log.read_text(), within=30, why="it did not say where Flower is")
        flower = re.search(r"Flower    (http://\S+)", log.read_text())
        redis_url = re.search(r"Redis     (redis://\S+)", log.read_text())
        assert flower
        assert redis_url

        # when an order falls due
        with Redis.from_url(redis_url[1]) as client:
            wait_until(lambda: client.hexists("{orders}:stats", "swept_at"), within=60, why="nothing swept")
            client.zadd("orders", {"42": 1.0})
            # then Flower is there, and a task looked at the order
            wait_until(lambda: "ids=42" in log.read_text(), within=30, why="no task came for the order")
        assert urllib.request.urlopen(flower[1], timeout=10).status == 200

        # and a second one in the same folder says why it cannot
        again = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert again.returncode == 1
        assert "another `orders up` uses the folder" in again.stderr
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) >= 5  # redis, worker and its children, beat, flower
    finally:
        process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    wait_until(lambda: not any(child.is_running() for child in family), within=10, why=f"left behind: {family}")


def test_up_uses_what_the_environment_names(tmp_path: Path) -> None:
    procfile = tmp_path / "Procfile"
    procfile.write_text("show: echo redis=$ORDERS_REDIS_URL database=$ORDERS_DATABASE_URL\n")
    environment = {
        **os.environ,
        "ORDERS_REDIS_URL": "redis://shop:s3cret@redis.example:6379/1",
        "ORDERS_DATABASE_URL": "postgresql://shop:s3cret@db.example/shop",
    }
    ran = subprocess.run([*ORDERS, "up"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "redis=redis://shop:s3cret@redis.example:6379/1 database=postgresql://shop" in ran.stdout
    assert "Redis     redis://shop:***@redis.example:6379/1" in ran.stdout
    assert not (tmp_path / ".orders").exists()


def test_up_without_a_procfile_says_so(tmp_path: Path) -> None:
    ran = subprocess.run([*ORDERS, "up"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (1, "error: --procfile is Procfile: the file does not exist\n")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    return wheel


@pytest.mark.faults
def test_a_wheel_works_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    # given an environment with the locked dependencies and the wheel, and no checkout
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--require-hashes", "-r", str(ROOT / "requirements" / "run.txt")], check=True)
    subprocess.run([*pip, "--no-deps", str(wheel)], check=True)
    # when the demo runs in it
    orders = str(tmp_path / "venv" / "bin" / "orders")
    ran = subprocess.run([orders, *SHORT], cwd=tmp_path, capture_output=True, text=True, check=False)
    # then it finds its scripts, its tasks and celeryconfig
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert numbers(ran.stdout)["left over"] == "0"
