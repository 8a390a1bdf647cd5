"""The packages that a process needs at least, as the page about deployments says."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
import venv
from pathlib import Path

from redis import Redis

from orders.embedded import EmbeddedRedis

ROOT = Path(__file__).parents[2]


def test_a_process_that_only_enqueues_needs_no_more_than_the_page_says(
    wheel: Path, redis_server: EmbeddedRedis, redis: Redis, tmp_path: Path
) -> None:
    # given the packages that the page names, with the bounds that we declare
    page = (ROOT / "docs" / "how-to" / "deploy.md").read_text()
    [first, second] = (shlex.split(line) for line in re.findall(r"^    (pip install .*)$", page, re.MULTILINE))
    packages = first[2:]
    assert set(packages) <= set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"])
    assert second == ["pip", "install", "--no-deps", "order-expiry"]
    # and an environment with these, in the locked versions
    pins = re.findall(r"^\S+==\S+", (ROOT / "requirements" / "run.txt").read_text(), re.MULTILINE)
    (tmp_path / "pins.txt").write_text("\n".join(pins))
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--constraint", str(tmp_path / "pins.txt"), *packages], check=True)
    subprocess.run([*pip, "--no-deps", str(wheel)], check=True)
    # when a process enqueues an order and removes another, then both has happened
    redis.zadd("orders", {"41": 1})
    code = "import orders; orders.enqueue('42', timeout=60); orders.remove('41')"
    given = {"ORDERS_REDIS_URL": redis_server.url}
    ran = subprocess.run([python, "-c", code], cwd=tmp_path, env=given, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert redis.zrange("orders", 0, -1) == [b"42"]
