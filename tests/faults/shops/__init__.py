"""The orders of a deployment as the shops of the frameworks know them."""
