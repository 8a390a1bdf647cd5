"""Checks of the pause and of the brake."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from orders.expiry import BRAKE
from orders.operate.doctor.findings import Check, Finding, Patient, error, ok, warning
from orders.operate.operations import Operations


def check_pause(patient: Patient) -> Iterator[Finding]:
    """Check whether the schedule is paused, since when, by whom and why."""
    operations = Operations(patient.expiry)
    pause, overview = operations.paused(), operations.overview()
    advice = (
        "When orders may expire again, run `orders resume`; with --extend, those that fell due get more time first."
    )
    if pause and pause.by == BRAKE:
        advice = f"Find out why so many orders fell due at once: `orders list due`. {advice}"
        yield error("schedule.pause", f"the schedule is {pause}", advice)
    elif pause:
        yield warning("schedule.pause", f"the schedule is {pause}", advice)
    elif overview.is_paused:
        advice = "The next sweep corrects that: does beat send orders.sweep, and does a worker of this release take it?"
        yield error("schedule.pause", "Redis says that the schedule is paused, and the database does not", advice)
    else:
        yield ok("schedule.pause", "the schedule is not paused")


def check_brake(patient: Patient) -> Iterator[Finding]:
    """Check whether there is a brake."""
    brake = patient.settings.brake
    if brake:
        yield ok("settings.brake", f"ORDERS_BRAKE is {brake}: the schedule is paused once so many orders have expired")
        return
    # It is no problem, so it is not a warning.
    yield ok(
        "settings.brake",
        "there is no brake. Recommended: ORDERS_BRAKE=5000/10m, with several times as many orders as ever expire in "
        "such a time, pauses the schedule before a wrong migration or an old backup closes all orders",
    )


CHECKS: Mapping[str, Check] = {"schedule.pause": check_pause, "settings.brake": check_brake}
