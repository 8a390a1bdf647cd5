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


def run(arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*ORDERS, *arguments.split()], cwd=folder, capture_output=True, text=True, check=True)


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


def test_the_demo_draws_a_live_table_on_a_terminal_and_counts_its_warnings(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "TMPDIR": str(tmp_path), "COLUMNS": "200"}
    process = subprocess.Popen([*ORDERS, *SHORT], stdout=theirs, stderr=theirs, env=environment)
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
    # and payments that come too late tear nothing: they are counted, and written into a file
    [log] = tmp_path.glob("orders-demo-*.log")
    warnings = log.read_text().splitlines()
    assert warnings
    assert all(" WARNING: payment for order " in line for line in warnings)
    assert f"warnings are in {log}" in shown.decode()
    frames = re.findall(r"│ \d+ +│ \d+ +│ \d+ +│ \d+ +│ (\d+) +│", shown.decode())
    assert frames[-1] == str(len(warnings))
    assert "WARNING" not in shown.decode()


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
    ports = {name: str(free_port()) for name in ("FLOWER_PORT", "PAGE_PORT")}
    environment = {**os.environ, **ports, "HOME": str(tmp_path)}
    log = tmp_path / "up.log"
    command = [*ORDERS, "up", "--procfile", str(ROOT / "Procfile")]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=output, stderr=output)
    try:
        # when all has been started, then the last lines say where the pages are and what to try
        wait_until(lambda: "  Stop    Ctrl-C" in log.read_text(), within=60, why="it did not say what to try")
        told = log.read_text()
        pages = re.search(r"Everything runs\.\n  Page    (\S+)/\n.+\n  Flower  (\S+)/tasks\n", told)
        assert pages
        assert "args:'42'" in told
        assert "[queues]" not in told  # a banner
        # and what it says to try works in another terminal
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) >= 5  # redis, worker and its children, beat, flower
        enqueue, explain = re.findall(r"^ +\S*orders (enqueue 42 .+|explain 42)$", told, re.MULTILINE)
        placed = run(enqueue.replace("20", "1"), tmp_path)
        assert placed.stdout.startswith("42: due ")
        assert placed.stderr == (
            "using ORDERS_REDIS_URL and ORDERS_DATABASE_URL of the `orders up` that runs here (.orders/up.env)\n"
        )
        wait_until(lambda: "ids=42" in log.read_text(), within=30, why="no task came for the order")
        assert run(explain, tmp_path).stdout.startswith("order 42: expired\n")
        for page in pages.groups():
            assert urllib.request.urlopen(page, timeout=10).status == 200
        assert "Sending due task" not in log.read_text()  # a line about nothing

        # and a second one in the same folder says why it cannot
        again = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert again.returncode == 1
        assert "another `orders up` uses the folder" in again.stderr
    finally:
        process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    wait_until(lambda: not any(child.is_running() for child in family), within=10, why=f"left behind: {family}")
    assert not (tmp_path / ".orders" / "up.env").exists()


def test_up_ends_with_its_terminal(tmp_path: Path) -> None:
    # given one in a terminal, whose process writes and never ends
    (tmp_path / "Procfile").write_text("show: while sleep 0.05; do echo pid=$$; done\n")
    servers = {"ORDERS_REDIS_URL": "redis://redis.example/0", "ORDERS_DATABASE_URL": "sqlite://"}
    environment = {**os.environ, **servers, "PAGE_PORT": str(free_port())}
    ours, theirs = pty.openpty()
    process = subprocess.Popen([*ORDERS, "up"], cwd=tmp_path, env=environment, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    while not (found := re.search(rb"pid=(\d+)", shown)):
        shown += os.read(ours, 4096)
    # when the terminal is closed
    child = psutil.Process(int(found[1]))
    os.close(ours)
    # then both end
    assert process.wait(30) == 0
    wait_until(lambda: not child.is_running(), within=10, why="the process is left behind")


def test_up_uses_what_the_environment_names(tmp_path: Path) -> None:
    procfile = tmp_path / "Procfile"
    procfile.write_text("show: echo redis=$ORDERS_REDIS_URL database=$ORDERS_DATABASE_URL\n")
    environment = {
        **os.environ,
        "ORDERS_REDIS_URL": "redis://shop:s3cret@redis.example:6379/1",
        "ORDERS_DATABASE_URL": "postgresql://shop:s3cret@db.example/shop",
        "PAGE_PORT": str(free_port()),
    }
    ran = subprocess.run([*ORDERS, "up"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "redis=redis://shop:s3cret@redis.example:6379/1 database=postgresql://shop" in ran.stdout
    assert "Redis     redis://shop:***@redis.example:6379/1" in ran.stdout
    assert not (tmp_path / ".orders").exists()


def test_up_without_a_procfile_says_so(tmp_path: Path) -> None:
    ran = subprocess.run([*ORDERS, "up"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (1, "error: --procfile is Procfile: the file does not exist\n")


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
