"""One shop, three times: with Django, Flask and FastAPI. ``python -m examples.shops.flask`` runs one."""
