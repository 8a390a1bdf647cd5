"""The shop's part of the admin site. `orders.contrib.django` adds the schedule."""

from __future__ import annotations

from django.contrib import admin

from examples.shops.django.shop.models import Order, Product


@admin.register(Product)
class ProductAdmin(admin.ModelAdmin):
    """Products, with the field that mends a broken place on the shelf."""

    list_display = ("name", "price", "stock", "is_listed", "is_broken")
    list_editable = ("is_broken",)


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):
    """Read-only: the status changes by conditional updates, never by saving a row that was read earlier."""

    list_display = ("id", "status", "expires_at", "product", "units")
    list_filter = ("status",)

    def has_add_permission(self, request: object) -> bool:  # noqa: ARG002 - Django's signature
        """Return False: the shop creates orders."""
        return False

    def has_change_permission(self, request: object, obj: object = None) -> bool:  # noqa: ARG002
        """Return False."""
        return False

    def has_delete_permission(self, request: object, obj: object = None) -> bool:  # noqa: ARG002
        """Return False."""
        return False
