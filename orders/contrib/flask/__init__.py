"""The Flask extension: ``expiry = Orders(app, db=db, model=Order)``. Needs ``order-expiry[flask]``."""

from orders.contrib.flask.extension import Orders

__all__ = ["Orders"]
