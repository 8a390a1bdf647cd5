"""Orders at home in Django: add ``orders.contrib.django`` to ``INSTALLED_APPS``, and describe the model in ``ORDERS``.

The module `conf` reads the setting, `store` works on Django's own connections, `expiry` waits for
``transaction.on_commit``, and `apps` puts them to work when Django starts.
"""
