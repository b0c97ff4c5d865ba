"""`python -m local.infra`: checks infra/ and the workflows part by part; a line for each part and each finding.

Exit code 0 only with no finding at all.
"""

import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from local.infra import bodies, modules, parsing, policies, roles, symbols, workflows
from local.infra.finding import Finding
from local.infra.parsing import Document
from local.infra.resource_types import ResourceType, TypesError, ask, run
from local.infra.written_types import written_types
from local.install import ROOT, SetupError, infra_tools

FOLDER = Path("infra")
WORKFLOWS = Path(".github/workflows")
CACHE = ROOT / ".build" / "infra-types"
CALLS_AT_ONCE = 2
NOT_A_COMPILATION = (
    "This was no compilation: no Bicep compiler is at hand here, and Azure was not asked. "
    "The workflow compiles infra/ and asks Azure what would change."
)


def main() -> int:
    """Run all parts; the exit code."""
    documents = read_folder(ROOT, FOLDER)
    try:
        tools = infra_tools()
        found = check_all(documents, tools)
        found += check_workflows(tools)
    except (SetupError, TypesError, policies.PoliciesError, workflows.WorkflowsError) as error:
        print(f"infra cannot be checked: {error}", file=sys.stderr)
        return 1
    for finding in found:
        print(finding)
    print(f"{_findings(len(found))}." if found else "Nothing found.")
    print(NOT_A_COMPILATION)
    return 1 if found else 0


def read_folder(root: Path, folder: Path) -> dict[Path, Document]:
    """The documents of all .bicep and .bicepparam files in a folder, by path relative to `root`."""
    paths = sorted(path for path in (root / folder).rglob("*.bicep*") if path.suffix in {".bicep", ".bicepparam"})
    return {path.relative_to(root): parsing.parse(path.relative_to(root), path.read_bytes()) for path in paths}


def check_all(documents: Mapping[Path, Document], tools: Path) -> list[Finding]:
    """All findings, in the order of files and lines. Raises TypesError and PoliciesError."""
    every = list(documents.values())
    if not any(document.resources for document in every):
        return [Finding(FOLDER, 0, "there is no .bicep file with a resource")]
    found = _part(f"syntax: {len(every)} files", (one for each in every for one in parsing.syntax(each)))
    if found:
        return found
    symbol_count = sum(symbols.count(document) for document in every)
    found += _part(f"symbols: {symbol_count} declared", check_symbols(documents))
    found += check_bodies(documents, load_types(every, tools))
    role_count = sum(roles.count(document) for document in every)
    found += _part(f"roles: {role_count} ids", (one for each in every for one in roles.check(each)))
    judged = policies.judge(policies.run(tools, ROOT, FOLDER), FOLDER, every)
    title = f"checkov: {judged.resources} resources, {judged.passed} checks passed, {judged.waived} waived"
    found += _part(f"{title}, {judged.broken} broken in checkov itself", judged.findings)
    return sorted(set(found))


def check_workflows(tools: Path) -> list[Finding]:
    """Findings on the workflows that publish what infra/ makes room for. Raises WorkflowsError."""
    count = len(workflows.files(ROOT, WORKFLOWS))
    return _part(f"workflows: {count} files", workflows.check(tools, ROOT, WORKFLOWS))


def check_symbols(documents: Mapping[Path, Document]) -> list[Finding]:
    """Findings on names, modules, parameters and outputs."""
    scopes = modules.scopes(documents)
    found = list(modules.check_circles(documents))
    for path, document in documents.items():
        found += symbols.check(document)
        found += modules.check(document, documents, scopes[path])
        found += modules.check_defaults(document, scopes[path])
    return found


def check_bodies(documents: Mapping[Path, Document], types: Mapping[str, ResourceType]) -> list[Finding]:
    """Findings on the bodies of all resources."""
    scopes = modules.scopes(documents)
    found = [one for path, each in documents.items() for one in bodies.compare(each, scopes[path], types)]
    resources = sum(len(document.resources) for document in documents.values())
    properties = sum(bodies.count_properties(document) for document in documents.values())
    by_hand = sum(kind.source != "azmcp" for kind in types.values())
    return _part(
        f"resource bodies: {resources} resources, {properties} properties, "
        f"{len(types) - by_hand} types from azmcp, {by_hand} written by hand",
        found,
    )


def load_types(documents: Iterable[Document], tools: Path) -> dict[str, ResourceType]:
    """The types of all resources in the documents, by name in lower case; those that nobody has are left out.

    Raises TypesError.
    """
    names = {resource.type.lower(): resource.type for document in documents for resource in document.resources}
    azmcp = _azmcp(tools)
    version = run(azmcp, "--version").strip().partition("+")[0]
    cache = CACHE / (version or "unknown")
    print(f"Reading {len(names)} resource types from azmcp {version} ...", flush=True)
    with ThreadPoolExecutor(CALLS_AT_ONCE) as pool:
        asked = dict(zip(names, pool.map(lambda name: ask(azmcp, name, cache), names.values()), strict=True))
    written = written_types()
    found = {name: kind or written.get(name) for name, kind in asked.items()}
    return {name: kind for name, kind in found.items() if kind is not None}


def _azmcp(tools: Path) -> Path:
    """Where the package msmcp-azure keeps its program; the path is right also where there is none."""
    found = sorted(tools.parent.glob("lib/python3*/site-packages/msmcp_azure/bin/azmcp*"))
    programs = [path for path in found if path.suffix in {"", ".exe"}]
    return programs[0] if programs else tools.parent / "lib" / "msmcp_azure" / "bin" / "azmcp"


def _part(title: str, findings: Iterable[Finding]) -> list[Finding]:
    """Print a part's line, and give back its findings."""
    found = list(dict.fromkeys(findings))
    print(f"{title}: {_findings(len(found))}" if found else f"{title}: right", flush=True)
    return found


def _findings(count: int) -> str:
    return "1 finding" if count == 1 else f"{count} findings"


if __name__ == "__main__":
    sys.exit(main())
