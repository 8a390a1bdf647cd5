"""The command ``manage.py orders``."""
