"""The filters of our templates."""
