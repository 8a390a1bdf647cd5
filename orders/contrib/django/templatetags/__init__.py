"""The template filters."""
