"""The shop's pages."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from django import forms
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST, require_safe

from examples.shops.django.shop import shop
from examples.shops.django.shop.models import Order, Product, Refund
from examples.shops.page import MOST, TABS, number


class BasketForm(forms.Form):
    """The form of a product."""

    product = forms.IntegerField()
    units = forms.IntegerField(min_value=1, max_value=MOST)


@require_safe
def shelf(request: HttpRequest) -> HttpResponse:
    """Show the products."""
    listed = Q() if "hidden" in request.GET else Q(is_listed=True)
    products = Product.objects.filter(listed).order_by("pk")
    context = {"here": "shelf", "products": products, "refused": refused(request)}
    return render(request, "shelf.html", context)


def orders_page(request: HttpRequest) -> HttpResponse:
    """Place an order, or list this customer's orders."""
    return check_out(request) if request.method == "POST" else my_orders(request)


@require_POST
def check_out(request: HttpRequest) -> HttpResponse:
    """Place an order and schedule its expiry."""
    basket = BasketForm(request.POST)
    if basket.is_valid():
        order = shop.place(customer(request), basket.cleaned_data["product"], basket.cleaned_data["units"])
        if order:
            return redirect(f"/orders/{order.pk}")
    product, units = number(request.POST.get("product")), number(request.POST.get("units"))
    return redirect(f"/?product={product}&units={units}")


@require_GET
def my_orders(request: HttpRequest) -> HttpResponse:
    """Show this customer's orders, or those with one status."""
    status = request.GET.get("status", "all")
    if status not in TABS:
        raise Http404
    own = Order.objects.filter(customer=customer(request))
    chosen = own if status == "all" else own.filter(status=status)
    context = {
        "here": "orders",
        "status": status,
        "orders": chosen.select_related("product").order_by("-pk"),
        "counts": dict(own.values_list("status").annotate(Count("pk"))),
    }
    return render(request, "orders.html", context)


@require_safe
def order_page(request: HttpRequest, order_id: int) -> HttpResponse:
    """Show an order: its deadline, or its result."""
    order = own_order(request, order_id)
    refunds = Refund.objects.filter(order=order)
    return render(request, "order.html", {"here": "orders", "order": order, "refunds": refunds})


@require_POST
def pay(request: HttpRequest, order_id: int) -> HttpResponse:
    """Take a payment. In a real shop, the payment gateway calls this after the payment."""
    shop.pay(own_order(request, order_id), reference=f"charge-{uuid4().hex}")
    return redirect(f"/orders/{order_id}")


@require_POST
def cancel(request: HttpRequest, order_id: int) -> HttpResponse:
    """Cancel an unpaid order."""
    shop.cancel(own_order(request, order_id))
    return redirect(f"/orders/{order_id}")


def customer(request: HttpRequest) -> str:
    """Return the customer of this session."""
    return str(request.session.setdefault("customer", uuid4().hex))


def refused(request: HttpRequest) -> dict[str, Any] | None:
    """Return what the order was for that was just refused; None if none was."""
    if "units" not in request.GET:
        return None
    product = Product.objects.filter(pk=number(request.GET.get("product"))).first()
    return {"product": product, "units": number(request.GET["units"])}


def own_order(request: HttpRequest, order_id: int) -> Order:
    """Return an order if it belongs to this customer."""
    return get_object_or_404(Order.objects.select_related("product"), pk=order_id, customer=customer(request))
