"""What the admin's pages need to stay up to date: plots with their files, and answers for the script that looks."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest
from django.test import override_settings
from django.utils import timezone
from redis import Redis

from tests.contrib.django_admin.conftest import LIST, Site, page_of, told

LIVE = {"X-Orders-Live": "1"}
POINTS = f"{LIST}history/hour.json"


@pytest.fixture
def counted(site: Site) -> Site:
    """A shop in which two orders were paid."""
    site.expiry.schedule.remove(["1", "2"], are_paid=True)
    return site


def test_the_list_has_plots_of_an_hour_and_a_day(counted: Site) -> None:
    page = counted.client("view_schedule").get(LIST).text
    plots = re.findall(r'aria-label="([^"]+)" data-history="(\w+)"\s+data-points="([^"]+)" data-url="([^"]+)"', page)
    assert [(name, kind) for name, kind, _, _ in plots] == [
        ("Orders, last hour: 0 expired, 2 paid, 0 failed", "counts"),
        ("Lateness, last hour: 0 expired, 2 paid, 0 failed", "lateness"),
        ("Orders, last day: 0 expired, 2 paid, 0 failed", "counts"),
        ("Lateness, last day: 0 expired, 2 paid, 0 failed", "lateness"),
    ]
    hour, day = (json.loads(unescape(plots[number][2])) for number in (0, 2))
    assert (len(hour["at"]), sum(hour["paid"]), len(day["at"]), sum(day["paid"])) == (60, 2, 96, 2)
    assert [url for *_, url in plots] == [POINTS, POINTS, f"{LIST}history/day.json", f"{LIST}history/day.json"]


def test_the_points_of_a_plot_are_read_again(counted: Site) -> None:
    viewer = counted.client("view_schedule")
    found = viewer.get(POINTS).json()
    assert set(found) == {"at", "expired", "paid", "failed", "p50", "p99"}
    assert sum(found["paid"]) == 2
    assert found["p50"] == [None] * 60
    assert viewer.get(f"{LIST}history/year.json").status_code == 404


def test_plots_have_the_zone_of_the_page(site: Site) -> None:
    with override_settings(TIME_ZONE="Asia/Kathmandu"), timezone.override("Asia/Kathmandu"):
        assert 'data-offset="20700"' in site.operator.get(LIST).text


def test_files_are_served_with_urls_that_change_with_them(site: Site) -> None:
    viewer = site.client("view_schedule")
    found = re.findall(rf'(?:href|src)="({LIST}files/[^"]+)"', viewer.get(LIST).text)
    assert [url.rpartition("/")[2].partition("?")[0] for url in found] == [
        "uPlot.min.css",
        "history.css",
        "uPlot.iife.min.js",
        "history.js",
    ]
    for url in found:
        answer = viewer.get(url)
        assert answer.status_code == 200
        kind = "css" if ".css?" in url else "javascript"
        assert answer["Content-Type"] == f"text/{kind}; charset=utf-8"
        assert answer["Cache-Control"] == "private, max-age=86400"
    for other in ("LICENSE", "history.js.map", "icon.svg"):
        assert viewer.get(f"{LIST}files/{other}").status_code == 404


@pytest.mark.parametrize("url", [POINTS, f"{LIST}files/history.js", LIST])
def test_nobody_else_sees_them(site: Site, url: str) -> None:
    assert site.client(is_staff=False).get(url).status_code == 302


def test_points_need_the_permission(site: Site) -> None:
    assert site.client().get(POINTS).status_code == 403


def test_a_look_gets_what_is_inside_the_frame_and_leaves_messages_for_somebody(site: Site) -> None:
    # given a message that nobody has seen yet
    order_id = site.place(due=600)
    client = site.operator
    client.post(LIST, {"action": "remove"})  # nothing selected
    # when the script looks again
    look = client.get(LIST, headers=LIVE).text
    # then it gets the parts of the page, and neither the frame, nor plots
    assert look.lstrip().startswith('<div id="content-main" data-live=')
    assert re.findall(r'id="([\w-]+)" data-part', look) == ["oe-pause", "oe-tiles", "changelist-form"]
    assert "data-history" not in look
    assert order_id in look
    # and the message is still there
    assert told(client.get(LIST)) == ["Nothing was done: select the orders first."]


def test_an_orders_page_has_parts_too(site: Site) -> None:
    look = site.operator.get(page_of(site.place()), headers=LIVE).text
    assert re.findall(r'id="([\w-]+)" data-part', look) == ["oe-timeline", "oe-details", "oe-actions"]
    assert "<html" not in look


def test_a_look_says_what_failed(site: Site, redis: Redis) -> None:
    redis.set("orders", "not a sorted set")
    answer = site.operator.get(LIST, headers=LIVE)
    assert answer.status_code == 503
    assert re.search(r"<p [^>]*data-problem>Redis rejected a command", answer.text)


def test_points_say_what_failed(site: Site, redis: Redis) -> None:
    redis.set("{orders}:history", "not a hash")
    answer = site.operator.get(POINTS)
    assert answer.status_code == 503
    assert "WRONGTYPE" in answer.json()["error"]
    assert "data-history" not in site.operator.get(LIST).text  # the rest of the page is there
    assert site.operator.get(LIST).status_code == 200


def test_no_page_has_a_script_or_a_style_in_it(counted: Site) -> None:
    counted.bury("42")
    for url in (LIST, f"{LIST}?where=dead", page_of("42")):
        page = counted.operator.get(url).text
        body = page[page.index('id="content-main"') :]
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", body)
        assert all(re.search(r"\ssrc=", tag) for tag in re.findall(r"<script[^>]*>", page) if "order_expiry" in tag)
        assert "<script>" not in body
