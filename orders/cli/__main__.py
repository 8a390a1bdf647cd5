"""``python -m orders.cli``: the command ``orders`` where it is not on PATH."""

from orders.cli import main

main()
