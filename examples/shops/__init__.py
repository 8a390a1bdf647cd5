"""The same shop with Django, Flask and FastAPI. Run one with ``python -m examples.shops.flask``."""
