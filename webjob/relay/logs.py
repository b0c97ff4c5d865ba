"""The relay's log: one line a decision, as text or as JSON, always with the same names for the same things.

`log.info("delivered", extra=fields(batch=..., events=3))` writes `... INFO delivered batch=... events=3`.
"""

import datetime as dt
import json
import logging
import re
import sys
import time
from typing import Any, TextIO

log = logging.getLogger("leasehook.relay")

PUBLIC_KEY = re.compile(r"\b[1-9A-HJ-NP-Za-km-z]{41,44}\b")
"""Drivers are persons: their keys are not written in full."""
MAX_FACT = 600
"""Characters of one fact. Ids and reasons come from outside, and may have any length there."""


def fields(**named: Any) -> dict[str, Any]:
    """The facts of a log line, for the `extra` of a logging call; long texts among them are cut."""
    return {"fields": {name: _cut(value) for name, value in named.items()}}


def short(text: str) -> str:
    """A text that came from outside, with the public keys in it shortened."""
    return PUBLIC_KEY.sub(lambda key: key.group()[:8] + "…", text)


def printable(text: str) -> str:
    """A text that came from outside, with what would end its line or steer a terminal escaped."""
    return text if text.isprintable() else "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def _cut(value: Any) -> Any:
    return f"{value[:MAX_FACT]}…" if isinstance(value, str) and len(value) > MAX_FACT else value


class LastTrouble(logging.Handler):
    """Keeps the last warning or error, for the relay's status."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""
        self.at: dt.datetime | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Keep this line: its message, and the reason that it names."""
        named = getattr(record, "fields", {})
        about = next((str(named[name]) for name in ("reason", "what") if name in named), "")
        self.text = f"{record.getMessage()}: {about}" if about else record.getMessage()
        self.at = dt.datetime.fromtimestamp(record.created, dt.UTC)


def write_logs(log_format: str, stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Send the relay's log to `stream` (standard output), in `log_format` text or json, from `level` on."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(formatter(log_format))
    log.handlers = [handler]
    log.setLevel(level)
    log.propagate = False


def formatter(log_format: str) -> logging.Formatter:
    """How lines are written in `log_format`, text or json."""
    return _JsonFormatter() if log_format == "json" else _TextFormatter()


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        named = getattr(record, "fields", {})
        facts = "".join(f" {name}={_quoted(value)}" for name, value in named.items())
        text = f"{_time(record)} {record.levelname} {printable(record.getMessage())}{facts}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {"time": _time(record), "level": record.levelname, "message": record.getMessage()}
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _time(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"


def _quoted(value: Any) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    if not text.isprintable():
        return json.dumps(text)  # nothing that was sent to the relay breaks a line in two or steers a terminal
    return json.dumps(text, ensure_ascii=False) if any(c in ' "=' for c in text) or not text else text
