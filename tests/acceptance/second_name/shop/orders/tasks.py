from celery import shared_task  # type: ignore[import-untyped]  # Celery has no types

from orders.models import Order


@shared_task(name="vases.count")  # type: ignore[untyped-decorator]
def count() -> int:
    return Order.objects.count()
