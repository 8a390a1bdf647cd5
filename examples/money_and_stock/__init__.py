"""A shop with stock, coupons and payments, on an embedded Redis, SQLite and real Celery processes."""
