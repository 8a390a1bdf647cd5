"""The command line, on a real Redis and SQLite; see `tests.integration.cli.command`."""
