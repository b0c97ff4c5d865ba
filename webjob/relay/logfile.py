"""Keeps a copy of the relay's log in a file, which is turned over before it grows large.

Kudu keeps only the first hundred or so lines that a run of a continuous WebJob prints. The file is written by a thread
of its own, so that a disk which hangs or is full costs lines of the copy, and no delivery waits for it.
"""

import logging
import queue
import time
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler

MAX_BYTES = 5_000_000
"""Of one file; `BACKUPS` earlier ones stand beside it, as NAME.1 and so on."""
BACKUPS = 4
MAX_WAITING = 10_000
"""Lines that wait for the disk; further ones are left out of the file."""


class LogFile(logging.Handler):
    """A handler that appends each line to a file. Raises OSError when the file cannot be opened."""

    def __init__(self, path: str, formatter: logging.Formatter) -> None:
        super().__init__()
        self._lines: queue.Queue[logging.LogRecord] = queue.Queue(MAX_WAITING)
        self._format = QueueHandler(self._lines)
        self._format.setFormatter(formatter)
        file = _File(path, maxBytes=MAX_BYTES, backupCount=BACKUPS, encoding="utf-8", errors="replace")
        QueueListener(self._lines, file).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Have the line written; it is lost to the file when too many wait already."""
        try:
            self._lines.put_nowait(self._format.prepare(record))
        except queue.Full:
            return

    def wait(self, seconds: float) -> None:
        """Wait until everything is written, but no longer than that."""
        deadline = time.monotonic() + seconds
        while self._lines.unfinished_tasks and time.monotonic() < deadline:
            time.sleep(0.01)


class _File(RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's own name
        """A line that cannot be written is lost to the file; a traceback for each would drown what is printed."""
