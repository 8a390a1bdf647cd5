"""Adapters for web frameworks. `orders.process` imports them by name, if the environment names a framework."""
