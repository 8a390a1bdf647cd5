"""The shop's own part of the admin site. That of the schedule comes with `orders.contrib.django`."""

from __future__ import annotations

from django.contrib import admin

from examples.shops.django.shop.models import Order, Product


@admin.register(Product)
class ProductAdmin(admin.ModelAdmin):
    """Where a broken place on the shelf is mended."""

    list_display = ("name", "price", "stock", "is_listed", "is_broken")
    list_editable = ("is_broken",)


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):
    """To look at only: states change by conditional updates, never by saving a row that was read before."""

    list_display = ("id", "status", "expires_at", "product", "units")
    list_filter = ("status",)

    def has_add_permission(self, request: object) -> bool:  # noqa: ARG002 - Django's signature
        """Orders come from the shop."""
        return False

    def has_change_permission(self, request: object, obj: object = None) -> bool:  # noqa: ARG002
        """Nobody changes one here."""
        return False

    def has_delete_permission(self, request: object, obj: object = None) -> bool:  # noqa: ARG002
        """Nobody deletes one here."""
        return False
