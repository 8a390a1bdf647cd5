"""The operators' page in a Django project, behind a view of it, as docs/how-to/web.md says."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
from django.conf import settings as django_settings
from django.urls import clear_url_caches

from tests.blocks import blocks
from tests.contrib.django_admin.conftest import Site

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "web.md"


def test_a_view_puts_the_page_behind_djangos_permissions(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    # given the view of the page of the docs
    [block] = [block for block in blocks(PAGE.read_text()) if block.file == "django_views.py"]
    views = ModuleType("views_of_the_page")
    exec(block.text, vars(views))
    monkeypatch.setitem(sys.modules, views.__name__, views)
    admin = __import__(django_settings.ROOT_URLCONF, fromlist=["urlpatterns"]).urlpatterns
    vars(views)["urlpatterns"] += admin
    monkeypatch.setattr(django_settings, "ROOT_URLCONF", views.__name__)
    clear_url_caches()
    order_id = site.place(due=600)
    operator, nobody = site.client("change_schedule", csrf=True), site.client()
    # when somebody without the permission looks, then Django asks for another login
    assert nobody.get("/expiry/").headers["Location"].startswith("/admin/login/")
    # when an operator does, then links and files are below the prefix
    listed = operator.get("/expiry/orders")
    assert f'href="/expiry/order?id={order_id}"' in listed.text
    assert operator.get("/expiry/static/web.css").status_code == 200
    # and an action takes effect, unless another site asks for it
    form = {"action": "hold", "order": order_id, "id": order_id, "minutes": "60"}
    refused = operator.post("/expiry/act", form, headers={"Sec-Fetch-Site": "cross-site"})
    assert refused.status_code == 403
    done = operator.post("/expiry/act", form, headers={"Sec-Fetch-Site": "same-origin"})
    assert done.headers["Location"] == f"/expiry/order?id={order_id}"
    score = site.redis.zscore("orders", order_id)
    assert score is not None
    assert score > site.expiry.schedule.now() + 3500
    clear_url_caches()
