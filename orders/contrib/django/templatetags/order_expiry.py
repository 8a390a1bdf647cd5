"""The template filters of the operators' pages."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils.timesince import timesince, timeuntil

register = template.Library()


@register.filter
def relative(time: datetime, now: datetime) -> str:
    """Return a time relative to now: "in 35 s", "3 days, 2 hours ago"."""
    seconds = (time - now).total_seconds()
    if seconds > 0:
        return f"in {seconds:.0f} s" if seconds < 60 else f"in {timeuntil(time, now)}"
    return f"{-seconds:.0f} s ago" if seconds > -60 else f"{timesince(time, now)} ago"
