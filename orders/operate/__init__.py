"""The operator's side, for the command line, the admin pages and metrics."""

from orders.operate.operations import Item, Operations, Overview, Page, Where, to_datetime

__all__ = ["Item", "Operations", "Overview", "Page", "Where", "to_datetime"]
