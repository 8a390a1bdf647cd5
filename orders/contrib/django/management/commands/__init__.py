"""The commands of ``manage.py``: `orders`."""
