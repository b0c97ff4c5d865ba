"""What a check has found, and where. It knows no Bicep."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tree_sitter import Node


@dataclass(frozen=True, order=True)
class Finding:
    """Something wrong at a line, counted from 1; 0 stands for the whole file."""

    path: Path
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}" if self.line else f"{self.path}: {self.message}"


def at(path: Path, node: Node, message: str) -> Finding:
    """A finding at the line on which `node` begins."""
    return Finding(path, node.start_point[0] + 1, message)


def listed(names: Iterable[object]) -> str:
    """Names in alphabetical order with commas, for an error message; `nothing` when there are none."""
    return ", ".join(sorted(str(name) for name in names)) or "nothing"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean X?` when a known name is near, else what is known, cut after some twenty names."""
    names = sorted(known)
    by_lower_case = {one.lower(): one for one in names}
    near = difflib.get_close_matches(name.lower(), by_lower_case, n=1)
    if near:
        return f"; did you mean {by_lower_case[near[0]]}?"
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return f"; allowed are {', '.join(names[:20])}{more}" if names else ""
