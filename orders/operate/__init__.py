"""What an operator sees and does: for the command line, the admin and metrics."""

from orders.operate.operations import Item, Operations, Overview, Page, Where, moment

__all__ = ["Item", "Operations", "Overview", "Page", "Where", "moment"]
