"""The relay's log: one line a decision, as text or as JSON, always with the same names for the same things.

`log.info("delivered", extra=fields(batch=..., events=3))` writes `... INFO delivered batch=... events=3`.
"""

import json
import logging
import sys
import time
from typing import Any

log = logging.getLogger("leasehook.relay")


def fields(**named: Any) -> dict[str, Any]:
    """The facts of a log line, for the `extra` of a logging call."""
    return {"fields": named}


def write_logs(log_format: str) -> None:
    """Send the relay's log to standard output, in `log_format` text or json."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonFormatter() if log_format == "json" else _TextFormatter())
    log.handlers = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        named = getattr(record, "fields", {})
        facts = "".join(f" {name}={_quoted(value)}" for name, value in named.items())
        text = f"{_time(record)} {record.levelname} {record.getMessage()}{facts}"
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
