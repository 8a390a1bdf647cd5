"""The table of webhooks, which holds what each endpoint has got."""

from django.db import migrations

from orders.contrib.django.operations import CreateWebhooks


class Migration(migrations.Migration):
    """The second migration."""

    dependencies = (("order_expiry", "0001_initial"),)
    operations = (CreateWebhooks(),)
