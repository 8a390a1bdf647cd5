"""The URLs of the pages."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from examples.shops.django.shop import views

urlpatterns = [
    path("", views.shelf),
    path("orders", views.orders_page),
    path("orders/<int:order_id>", views.order_page),
    path("orders/<int:order_id>/pay", views.pay),
    path("orders/<int:order_id>/cancel", views.cancel),
    path("admin/", admin.site.urls),
    path("favicon.ico", RedirectView.as_view(url="/static/kiln.svg")),  # for the admin site, whose pages name no icon
]
