"""A shop at the deadline: stock, coupons and money, on an embedded Redis, SQLite and real Celery processes."""
