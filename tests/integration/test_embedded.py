"""The Redis of our own."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest
from redis import Redis

from orders import embedded
from orders.embedded import EmbeddedRedis, find_redis_server
from orders.errors import EmbeddedError


def fake_server(folder: Path, name: str, version: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\necho 'Redis server v={version} sha=0 malloc=libc bits=64'\n")
    (folder / name).chmod(0o755)


def test_it_keeps_its_data_over_a_restart_and_leaves_no_process(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path / "redis")
    with pytest.raises(EmbeddedError, match="not started"):
        _ = server.pid
    with server:
        pid = server.pid
        with Redis.from_url(server.url) as client:
            client.zadd("orders", {"42": 1.0})
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            assert client.config_get("bind") == {"bind": "127.0.0.1"}
    assert not psutil.pid_exists(pid)
    with EmbeddedRedis(tmp_path / "redis", port=server.port) as again, Redis.from_url(again.url) as client:
        assert client.zscore("orders", "42") == 1.0


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "one") as server, pytest.raises(EmbeddedError, match=r"(?s)did not start.*in use"):
        EmbeddedRedis(tmp_path / "two", port=server.port).start()


def test_an_option_that_it_does_not_know_says_why(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match="did not start on port"):
        EmbeddedRedis(tmp_path, options=("--no-such-option", "1")).start()


def test_a_server_on_path_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_server(tmp_path, "valkey-server", "8.1.0")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin{os.pathsep}/usr/bin")
    monkeypatch.setattr(embedded, "_in_wheel", list)
    found = {tmp_path / "valkey-server"} | {Path("/usr/bin/redis-server")}
    assert find_redis_server() in found


def test_one_that_is_too_old_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_server(tmp_path, "redis-server", "6.0.16")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_redis_server().name == "valkey-server"
    monkeypatch.setattr(embedded, "_WHEEL", "no-such-package")
    with pytest.raises(EmbeddedError, match=r"6\.2 or newer: install Redis or Valkey, .*/redis-server is 6\.0$"):
        find_redis_server()
