"""How commands print: one JSON value with --json, else lines for people, which nothing from outside can break."""

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from relay.logs import printable


def show(values: Mapping[str, Any], lines: Iterable[str] = (), *, as_json: bool) -> None:
    """Print named values, and `lines` below them; or the values as one line of JSON."""
    if as_json:
        print(json.dumps(values, default=str))
        return
    for name, value in values.items():
        if isinstance(value, list | dict):
            continue
        print(printable(f"{name:16} {'-' if value is None or value == '' else value}"))
    for line in lines:
        print(printable(line))


def complain(text: str) -> None:
    """Print what went wrong, to standard error."""
    print(f"leasehook relay: {printable(text)}", file=sys.stderr)
