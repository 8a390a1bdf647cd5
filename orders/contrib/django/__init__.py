"""The Django app. Add ``orders.contrib.django`` to ``INSTALLED_APPS``, and describe the model in ``ORDERS``.

`conf` reads the setting, `store` uses Django's own connections, `expiry` waits for ``transaction.on_commit``, and
`apps` sets them up when Django starts.
"""
