"""The operators' page of a test's shop, and a browser without a screen before it."""

from __future__ import annotations

import html
import json
import re
from typing import Any, cast

from flask import Flask
from werkzeug.test import Client, TestResponse

from orders.expiry import OrderExpiry
from orders.operate.doctor import Examination, Finding
from orders.operate.web.app import create_app
from orders.operate.web.gate import Site
from orders.operate.web.state import Recent, State
from tests.conftest import Shop

ANN = "ann"
"""The operator."""


def page_of(shop: Shop, expiry: OrderExpiry | None = None, **site: Any) -> Client:
    """Return a client of the page, for the operator Ann unless the site says otherwise."""
    given = {"user": lambda _: ANN, "read_only": False, **site}
    return Client(create_app(Site(lambda: expiry or shop.expiry, **given)))


def examined(page: Client, *findings: Finding) -> None:
    """Let the doctor have found this, without an examination, which takes seconds."""
    state: State = cast("Flask", page.application).extensions["order_expiry_page"]
    state.examination = Recent(lambda: (Examination(findings), state.expiry.held_until(0)), 60)


def bury(shop: Shop, **reasons: str) -> None:
    """Bury orders by id, each with its reason."""
    for number, (order_id, reason) in enumerate(reasons.items()):
        letter = {"reason": reason, "attempts": 10, "buried_at": 1_900_000_000 + number}
        shop.redis.hset("{orders}:dead", order_id, json.dumps(letter))


def words(response: TestResponse) -> str:
    """Return what a reader sees of a page, in one line."""
    body = re.sub(r"<(script|style|title)\b.*?</\1>", "", response.text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def tiles(response: TestResponse) -> dict[str, str]:
    """Return the numbers at the top of a page."""
    found = re.findall(r'id="tile-(\w+)".*?<b>(.*?)</b>', response.text, re.DOTALL)
    return dict(found)


def listed(response: TestResponse) -> list[str]:
    """Return the ids in a list that can be ticked, as they are in the forms."""
    return [
        html.unescape(key) for key in re.findall(r'type="checkbox" id="t\w+" name="id" value="(.*?)"', response.text)
    ]
