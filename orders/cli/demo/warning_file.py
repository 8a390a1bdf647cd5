"""The warnings of the demo while it shows a live table, which lines on standard error would tear."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path

from orders import logs

LINE = logging.Formatter("%(asctime)s %(levelname)s: %(message)s")


class WarningFile(logging.FileHandler):
    """Writes warnings into a new file in the folder for temporary files, and counts them.

    Until `stop` it takes the place of the handlers of the root logger.
    """

    def __init__(self) -> None:
        descriptor, path = tempfile.mkstemp(prefix="orders-demo-", suffix=".log")
        os.close(descriptor)
        super().__init__(path)
        self.setFormatter(logs.formatter("text", LINE))
        self.number = 0
        root = logging.getLogger()
        self._replaced, root.handlers = root.handlers, [self]

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        self.number += 1
        super().emit(record)

    def stop(self) -> None:
        """Put the other handlers back. An empty file is removed."""
        logging.getLogger().handlers = self._replaced
        self.close()
        if not self.number:
            Path(self.baseFilename).unlink()
