"""Runs checkov, which holds the resources against good practice, and judges its report.

checkov passes over a file that it cannot read, and over a check that breaks, and ends as if all were well: what it has
read and what it has run is held against what is there.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.infra.finding import Finding
from local.infra.parsing import Document

TIMEOUT_S = 300
STEERS_CHECKOV = ("CKV_", "BC_", "CHECKOV_", "PRISMA_")
LEAST_WORDS_OF_A_REASON = 5
BROKEN = re.compile(r"Failed to run check (\S+) on (\S+?):(\S+)")
KNOWN_TO_BREAK: Mapping[str, str] = {
    "CKV_AZURE_189": "it takes the value of publicNetworkAccess for a text, and a condition there breaks it",
}
"""Checks of checkov 3.3 that break on what is right Bicep, and why: they say nothing about the template."""
READ_AS_CHECKOV_DOES = """
import json, pathlib, sys
from pycep import BicepParser
read = {}
for path in sorted(pathlib.Path(sys.argv[1]).rglob("*.bicep")):
    try:
        read[str(path)] = sorted(BicepParser().parse(text=path.read_text()).get("resources", {}))
    except Exception:
        read[str(path)] = None
json.dump(read, sys.stdout)
"""
"""Prints what checkov's parser finds in each file: the symbols of the resources, or null where it cannot read it."""


class PoliciesError(Exception):
    """checkov gives no report; the message says what it said."""


@dataclass(frozen=True)
class Run:
    """What checkov said: its report on Bicep, the log, and by path the resources that its parser finds."""

    report: Mapping[str, Any]
    log: str
    resources: Mapping[str, Sequence[str] | None]


@dataclass(frozen=True)
class Judgement:
    """How many checks passed, were waived and broke, how many resources were read, and what is wrong."""

    passed: int
    waived: int
    broken: int
    resources: int
    findings: tuple[Finding, ...]


def run(tools: Path, root: Path, folder: Path) -> Run:
    """What checkov says of the Bicep files in `root / folder`. It is kept from the network. Raises PoliciesError."""
    checked = _output(
        [str(tools / "checkov"), "-d", str(folder), "--framework", "bicep", "-o", "json", "--skip-download"], root
    )
    read = _output([str(tools / "python"), "-c", READ_AS_CHECKOV_DOES, str(folder)], root)
    try:
        report, resources = json.loads(checked.stdout), json.loads(read.stdout)
    except ValueError as error:
        said = (checked.stderr + read.stderr)[-800:]
        raise PoliciesError(f"checkov ended with {checked.returncode} and without a report: {said}") from error
    if not isinstance(report, dict):
        raise PoliciesError(f"checkov gave a {type(report).__name__}, not a report on Bicep")
    return Run(report, checked.stderr, resources)


def judge(said: Run, folder: Path, documents: Sequence[Document]) -> Judgement:
    """What checkov says of `folder`, held against what the documents declare."""
    results: Mapping[str, Any] = said.report.get("results", {})
    skipped = results.get("skipped_checks", [])
    findings = [
        *(Finding(Path(path), 0, "checkov cannot read this file") for path in results.get("parsing_errors", [])),
        *(_finding(folder, one, one["check_name"]) for one in results.get("failed_checks", [])),
        *_without_reason(folder, skipped),
        *_unread(said, documents),
    ]
    broken = BROKEN.findall(said.log)
    for check, path, resource in broken:
        if check not in KNOWN_TO_BREAK:
            findings.append(Finding(Path(path), 0, f"{check} breaks on {resource}: it was not run, see checkov's log"))
    passed = len(results.get("passed_checks", []))
    if not passed:
        findings.append(Finding(folder, 0, "checkov has checked nothing"))
    resources = sum(len(found or ()) for found in said.resources.values())
    return Judgement(passed, len(skipped), len(broken), resources, tuple(findings))


def _unread(said: Run, documents: Sequence[Document]) -> Iterator[Finding]:
    """A finding for each file and each resource that checkov does not see."""
    for document in documents:
        if document.path.suffix != ".bicep":
            continue
        found = said.resources.get(str(document.path))
        if found is None:
            yield Finding(document.path, 0, "checkov cannot read this file, and would pass over it")
            continue
        for resource in document.resources:
            if resource.within is None and resource.name not in found:
                line = resource.node.start_point[0] + 1
                yield Finding(document.path, line, f"checkov does not see the resource {resource.name}")


def _without_reason(folder: Path, skipped: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    for one in skipped:
        reason = one["check_result"].get("suppress_comment") or ""
        if len(reason.split()) < LEAST_WORDS_OF_A_REASON:
            yield _finding(folder, one, f"waived with the reason {reason!r}; allowed is a sentence that explains it")


def _finding(folder: Path, one: Mapping[str, Any], message: str) -> Finding:
    path = folder / str(one["file_path"]).lstrip("/")
    return Finding(path, int(one["file_line_range"][0]), f"{one['check_id']} {one['resource']}: {message}")


def _output(command: Sequence[str], root: Path) -> subprocess.CompletedProcess[str]:
    # What a configuration of the user's own, or a key in the environment, would change is left out of the check.
    ours = {name: value for name, value in os.environ.items() if not name.startswith(STEERS_CHECKOV)}
    try:
        return subprocess.run(
            command,
            cwd=root,
            env={**ours, "LOG_LEVEL": "ERROR"},
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PoliciesError(f"{command[0]} did not run: {error}") from error
