"""Places four orders, pays one, opens the admin's pages; prints the ids and what it saw as JSON."""

import json
import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "vases.settings")
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.test import Client  # noqa: E402

from orders import views  # noqa: E402

*expiring, paid = [views.place(1.0) for _ in range(4)]
verdict = views.pay(paid).verdict
User.objects.create_superuser("operator")
browser = Client(headers={"host": "localhost"})
browser.force_login(User.objects.get())
pages = [f"/admin/order_expiry/{page}" for page in ("schedule/", f"schedule/{paid}/change/")]
statuses = [browser.get(page).status_code for page in pages]
json.dump({"expiring": expiring, "paid": paid, "verdict": verdict, "pages": statuses}, sys.stdout)
