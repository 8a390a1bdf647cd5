"""Adapters for web frameworks: each at home in one, and imported by nothing else of `orders`."""
