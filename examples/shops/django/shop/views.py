"""The shop's pages."""

from __future__ import annotations

from uuid import uuid4

from django import forms
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST, require_safe

from examples.shops.django.shop import shop
from examples.shops.django.shop.models import Order, Product, Refund


class BasketForm(forms.Form):
    """The form of a product."""

    product = forms.IntegerField()
    units = forms.IntegerField(min_value=1, max_value=99)


@require_safe
def shelf(request: HttpRequest) -> HttpResponse:
    """Show the products."""
    listed = Q() if "hidden" in request.GET else Q(is_listed=True)
    products = Product.objects.filter(listed).order_by("pk")
    context = {"here": "shelf", "products": products, "missed": "missed" in request.GET}
    return render(request, "shelf.html", context)


def orders_page(request: HttpRequest) -> HttpResponse:
    """Place an order, or list this customer's orders."""
    return check_out(request) if request.method == "POST" else my_orders(request)


@require_POST
def check_out(request: HttpRequest) -> HttpResponse:
    """Place an order and schedule its expiry."""
    basket = BasketForm(request.POST)
    if not basket.is_valid():
        return HttpResponseBadRequest(basket.errors.as_text(), content_type="text/plain")
    order = shop.place(customer(request), basket.cleaned_data["product"], basket.cleaned_data["units"])
    return redirect(f"/orders/{order.pk}" if order else "/?missed=yes")


@require_GET
def my_orders(request: HttpRequest) -> HttpResponse:
    """Show this customer's orders with one status."""
    status = request.GET.get("status", Order.Status.PENDING)
    own = Order.objects.filter(customer=customer(request))
    context = {
        "here": "orders",
        "status": status if status in Order.Status else Order.Status.PENDING,
        "orders": own.filter(status=status).select_related("product").order_by("-pk"),
        "counts": dict(own.values_list("status").annotate(Count("pk"))),
    }
    return render(request, "orders.html", context)


@require_safe
def order_page(request: HttpRequest, number: int) -> HttpResponse:
    """Show an order: its deadline, or its result."""
    order = own_order(request, number)
    refunds = Refund.objects.filter(order=order)
    return render(request, "order.html", {"here": "orders", "order": order, "refunds": refunds})


@require_POST
def pay(request: HttpRequest, number: int) -> HttpResponse:
    """Take a payment. In a real shop, the payment gateway calls this after the payment."""
    shop.pay(own_order(request, number), reference=f"charge-{uuid4().hex}")
    return redirect(f"/orders/{number}")


@require_POST
def cancel(request: HttpRequest, number: int) -> HttpResponse:
    """Cancel an unpaid order."""
    shop.cancel(own_order(request, number))
    return redirect(f"/orders/{number}")


def customer(request: HttpRequest) -> str:
    """Return the customer of this session."""
    return str(request.session.setdefault("customer", uuid4().hex))


def own_order(request: HttpRequest, number: int) -> Order:
    """Return an order if it belongs to this customer."""
    return get_object_or_404(Order.objects.select_related("product"), pk=number, customer=customer(request))
