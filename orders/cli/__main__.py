"""``python -m orders.cli``: the command ``orders`` if it is not on PATH."""

from orders.cli import main

main()
