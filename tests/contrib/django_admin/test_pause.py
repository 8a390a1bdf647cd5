"""What operators see of a pause, and how they begin and end it."""

from __future__ import annotations

from django.contrib.admin.models import LogEntry

from orders.clock import local
from orders.expiry.pause import pause_schedule
from tests.contrib.django.shop.models import Order
from tests.contrib.django_admin.conftest import LIST, Site, told


def test_an_operator_pauses_after_a_question_and_is_named(site: Site) -> None:
    site.place(due=-60)
    client = site.client("change_schedule", "view_schedule")
    assert "Pause…" in client.get(LIST).text
    # when an operator asks for a pause, nothing happens before the confirmation
    asked = client.post(LIST, {"action": "pause"})
    assert "Are you sure?" in asked.text
    assert site.expiry.store.pauses.current() is None
    given = {"action": "pause", "minutes": "30", "reason": "the <gateway> is down", "post": "yes"}
    response = client.post(LIST, given, follow=True)
    # then the schedule is paused, all pages say so, and the log has who it was
    paused = site.expiry.store.pauses.current()
    assert paused
    assert paused.until
    assert (paused.until - paused.since).total_seconds() == 1800
    assert (paused.by, paused.reason) == ("user-0", "the <gateway> is down")
    assert told(response) == [f"The schedule is {paused}."]
    assert f"The schedule is paused since {local(paused.since)} by user-0" in response.text
    assert "the &lt;gateway&gt; is down" in response.text
    entry = LogEntry.objects.get()
    assert (entry.object_repr, entry.get_change_message()) == ("the whole schedule", f"The schedule is {paused}.")
    assert "the whole schedule" in client.get("/admin/").text
    assert site.expiry.schedule.claim(10).claimed == []


def test_an_operator_resumes_and_gives_everybody_more_time(site: Site) -> None:
    site.place(due=60)
    pause_schedule(site.expiry, by="anna")
    client = site.operator
    before = Order.objects.get().expires_at
    asked = client.post(LIST, {"action": "resume"})
    assert "Are you sure?" in asked.text
    assert "by anna" in asked.text
    response = client.post(LIST, {"action": "resume", "extend": "1", "post": "yes"}, follow=True)
    assert told(response)[0].startswith("Resumed. It was paused since")
    assert site.expiry.store.pauses.current() is None
    assert Order.objects.get().expires_at == before  # it did not fall due in the pause
    again = client.post(LIST, {"action": "resume", "post": "yes"}, follow=True)
    assert told(again) == ["The schedule was not paused."]


def test_wrong_minutes_pause_nothing(site: Site) -> None:
    response = site.operator.post(LIST, {"action": "pause", "minutes": "0.5", "post": "yes"}, follow=True)
    assert told(response)[0].startswith("Nothing was done: minutes must be")
    assert site.expiry.store.pauses.current() is None


def test_who_may_only_look_sees_the_pause_and_no_button(site: Site) -> None:
    pause_schedule(site.expiry, reason="a backup was restored")
    viewer = site.client("view_schedule")
    page = viewer.get(LIST).text
    assert "a backup was restored" in page
    assert "Resume…" not in page
    assert viewer.post(LIST, {"action": "resume", "post": "yes"}).status_code == 403
    assert site.expiry.store.pauses.current()
