"""The operators' page and those who must not act: other sites, other host names, other people, ids that attack."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from werkzeug.test import Client

from orders import process
from orders.config import Settings
from orders.errors import ConfigError
from orders.operate import links, web
from orders.operate.web.app import create_app
from orders.operate.web.gate import Site, is_from_here
from tests.conftest import Shop
from tests.page import bury, examined, listed, page_of, words

HERE = "https://shop.example"
ACTING = ("/act", "/confirm", "/pause", "/resume", "/doctor", "/webhooks/replay", "/webhooks/test")
ACT = {"action": "remove", "where": "pending", "id": "1"}


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'shop.db'}"


@pytest.fixture
def page(shop: Shop) -> Client:
    shop.create()
    shop.place("1", due=600)
    return page_of(shop)


@pytest.mark.parametrize(
    ("fetch_site", "origin", "is_allowed"),
    [
        ("same-origin", HERE, True),
        ("none", None, True),  # typed into the address bar
        ("same-site", "https://evil.shop.example", False),
        ("cross-site", "https://evil.example", False),
        ("cross-site", HERE, False),
        ("", HERE, False),
        (None, None, True),  # no browser
        (None, HERE, True),  # an old browser
        (None, "https://evil.example", False),
        (None, "https://shop.example.evil.example", False),
        (None, "https://shop.example:8443", False),
        (None, "null", False),  # a sandboxed frame
        (None, "", False),
    ],
)
def test_only_requests_from_this_page_act(
    shop: Shop, page: Client, fetch_site: str | None, origin: str | None, is_allowed: bool
) -> None:
    assert is_from_here(fetch_site, origin, "shop.example") is is_allowed
    given = {"Sec-Fetch-Site": fetch_site, "Origin": origin}
    headers = {name: value for name, value in given.items() if value is not None}
    for url in ("/act",) if is_allowed else ACTING:
        answer = page.post(url, data=ACT, headers=headers, base_url=HERE)
        assert (answer.status_code == 403) is not is_allowed
    assert (shop.score("1") is None) is is_allowed
    assert shop.store.pauses.current() is None
    assert page.get("/", headers=headers, base_url=HERE).status_code == 200


def test_a_name_that_somebody_else_owns_leads_nowhere(shop: Shop, page: Client) -> None:
    with process.using(shop.expiry):
        page = Client(create_app(Site.alone("127.0.0.1", read_only=False)))
    for host in ("127.0.0.1:8470", "localhost:8470", "[::1]:8470", "LOCALHOST"):
        assert page.get("/", base_url=f"http://{host}").status_code == 200
    for host in ("evil.example:8470", "127.0.0.1.evil.example", "localhost.", "evil.example"):
        for url in ("/", "/static/web.css"):
            answer = page.get(url, base_url=f"http://{host}")
            assert answer.status_code == 400
            assert "does not answer to the host name" in words(answer)


@pytest.mark.parametrize("url", ["/", "/orders", "/order?id=1", "/nothing", "/static/web.css", "/history.json"])
def test_every_answer_forbids_frames_scripts_of_others_and_guessing(page: Client, url: str) -> None:
    with page.get(url) as answer:
        headers = answer.headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == ("no-cache" if url.startswith("/static") else "no-store")


IDS = (
    b"<script>alert(1)</script>\"'><b onclick=x>",
    b"two\nlines\r\n",
    "right\u202eto\u2066left".encode(),
    b"\xff\xfe\x00",
    b" blanks ",
    b"../../act?x=1&y=%2F#z",
    b"hex:41",
    b"{{ 7 * 7 }}",
)


@pytest.mark.parametrize("member", IDS)
def test_an_id_that_attacks_is_shown_harmlessly_and_can_be_removed(shop: Shop, page: Client, member: bytes) -> None:
    # given an id that somebody has put into Redis, also as a dead letter with such a reason
    order_id = member.decode(errors="surrogateescape")
    shop.redis.zadd("orders", {member: shop.schedule.now() + 60})
    bury(shop, dead=order_id.encode(errors="replace").decode())
    # when an operator looks everywhere
    key = links.encode(order_id)
    for url in ("/", "/orders", f"/order?id={quote(key)}", "/orders?where=dead"):
        found = page.get(url, headers={"HX-Request": "true"} if "?" not in url else {})
        # then nothing of it is code, and it changes neither lines nor their direction
        assert found.status_code in {200, 404}
        assert "<script>alert" not in found.text
        assert not re.search(r"<b\s+onclick", found.text)
        assert "\u202e" not in found.text
        assert "\u2066" not in found.text
        assert "7 * 7" in found.text or b"7 * 7" not in member
    assert "two\nlines" not in page.get("/orders").text
    # and it can be ticked, confirmed and removed
    assert key in listed(page.get("/orders"))
    form: dict[str, Any] = {"action": "remove", "where": "pending", "id": key}
    asked = page.post("/confirm", data=form)
    assert "Remove 1 order?" in words(asked)
    page.post("/act", data=form)
    assert shop.redis.zscore("orders", member) is None


def test_a_read_only_page_has_no_buttons_and_does_nothing(shop: Shop, page: Client) -> None:
    for read_only in (page_of(shop, read_only=True), page_of(shop.configured(web_read_only=True), read_only=None)):
        examined(read_only)
        for url in ("/", "/orders", "/orders?where=dead", "/order?id=1", "/doctor"):
            found = read_only.get(url)
            assert 'method="post"' not in re.sub(r'<form id="orders".*?>', "", found.text)
            assert 'name="action"' not in found.text
            assert "read-only" in words(found)
        for url in ACTING:
            assert read_only.post(url, data=ACT).status_code == 403
    assert shop.score("1") is not None
    assert shop.store.pauses.current() is None


def basic(login: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}


def test_the_login_lets_in_who_has_it(shop: Shop, page: Client) -> None:
    # given a login whose password has a colon and letters beyond ASCII
    login = "ann:se:säme"
    page = page_of(shop, user=None, login=login)
    for headers in ({}, basic("ann:sesame"), basic("bob:se:säme"), basic("ann"), {"Authorization": "Basic ?"}):
        for request in (page.get, page.post):
            answer = request("/act" if request == page.post else "/", headers=headers)
            assert answer.status_code == 401
            assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert shop.score("1") is not None
    assert "ann" in words(page.get("/", headers=basic(login)))


def test_the_password_is_shown_nowhere() -> None:
    settings = Settings(web_login="ann:sesame")
    assert "sesame" not in repr(settings)
    with pytest.raises(ConfigError, match=r"ORDERS_WEB_LOGIN is \*\*\*: it must be name:password") as error:
        Settings(web_login="sesame")
    assert "sesame" not in str(error.value)


def test_nobody_mounts_it_without_a_login(shop: Shop, page: Client) -> None:
    with pytest.raises(ConfigError, match=r"has no login: give it user=…, or set ORDERS_WEB_LOGIN"):
        web.wsgi(expiry=lambda: shop.expiry)
    strangers = page_of(shop, user=lambda _: None)
    assert strangers.get("/").status_code == 403
    assert page_of(shop, user=lambda _: None, login_url="/login").get("/").headers["Location"] == "/login"
    with_login = shop.configured(web_login="ann:sesame")
    assert Client(web.wsgi(expiry=lambda: with_login.expiry)).get("/").status_code == 401


def test_it_does_not_listen_for_others_without_a_login(shop: Shop) -> None:
    command = [sys.executable, "-m", "orders.cli", "web", "--host", "0.0.0.0", "--port", "0"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 1
    assert "set ORDERS_WEB_LOGIN=name:password, or listen on 127.0.0.1" in " ".join(ran.stderr.split())
    with process.using(shop.configured(web_login="ann:sesame").expiry):
        site = Site.alone("0.0.0.0", read_only=False)
    assert (site.login, site.hosts) == ("ann:sesame", None)
