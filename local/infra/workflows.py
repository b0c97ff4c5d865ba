"""Holds the workflows of GitHub Actions against their schema, and against what is known to be unsafe in them.

The schema is GitHub's as check-jsonschema carries it; the rules are those of zizmor, and that every action is pinned by
a commit is one of them. Neither is asked to use the network.
"""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from local.infra.finding import Finding

TIMEOUT_S = 120
BY_COMMIT = re.compile(r"uses:\s+(?!\./)(?P<action>\S+?)@(?P<pin>[0-9a-f]{40}) # v\S+$")
USES = re.compile(r"uses:\s+(?P<action>\S+)")


class WorkflowsError(Exception):
    """A tool gives no report; the message says what it said."""


def files(root: Path, folder: Path) -> list[Path]:
    """The workflows in `root / folder`, by path relative to `root`."""
    return sorted(path.relative_to(root) for path in (root / folder).glob("*.y*ml"))


def check(tools: Path, root: Path, folder: Path) -> list[Finding]:
    """What is wrong with the workflows in `root / folder`. Raises WorkflowsError."""
    found = files(root, folder)
    if not found:
        return [Finding(folder, 0, "there is no workflow")]
    findings = [one for path in found for one in unpinned(path, (root / path).read_text())]
    schema = ["check-jsonschema", "--builtin-schema", "vendor.github-workflows", "-o", "json"]
    misshapen = [*from_schema(_report(tools, root, [*schema, *map(str, found)]))]
    if misshapen:
        # zizmor passes over a file that it cannot read.
        return [*findings, *misshapen]
    zizmor = ["zizmor", "--offline", "--format", "json", *map(str, found)]
    return [*findings, *from_zizmor(_report(tools, root, zizmor))]


def unpinned(path: Path, text: str) -> Iterator[Finding]:
    """A finding for each action that is not named by a commit, with its version in a comment beside it."""
    for number, line in enumerate(text.splitlines(), 1):
        named = USES.search(line)
        if named and not named["action"].startswith("./") and not BY_COMMIT.search(line):
            yield Finding(path, number, f"{named['action']}: allowed is OWNER/NAME@COMMIT # vVERSION, 40 digits")


def from_schema(report: Mapping[str, Any]) -> Iterator[Finding]:
    """The findings in check-jsonschema's report."""
    for error in report.get("errors", []):
        nearest = error.get("best_deep_match") or error
        yield Finding(Path(error["filename"]), 0, f"{nearest['path']}: {nearest['message']}")
    for error in report.get("parse_errors", []):
        yield Finding(Path(error["filename"]), 0, error["message"])


def from_zizmor(report: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """The findings in zizmor's report that nobody has waived."""
    for one in report:
        if one["ignored"]:
            continue
        place = next(spot for spot in one["locations"] if spot["symbolic"]["kind"] == "Primary")
        path = place["symbolic"]["key"]["Local"]["verbatim_path"]
        line = place["concrete"]["location"]["start_point"]["row"] + 1
        yield Finding(Path(path), line, f"{one['ident']}: {one['desc']}")


def _report(tools: Path, root: Path, command: list[str]) -> Any:
    try:
        done = subprocess.run(
            [str(tools / command[0]), *command[1:]],
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
        return json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WorkflowsError(f"{command[0]} did not run: {error}") from error
    except ValueError as error:
        raise WorkflowsError(f"{command[0]} ended with {done.returncode}: {done.stderr[-800:]}") from error
