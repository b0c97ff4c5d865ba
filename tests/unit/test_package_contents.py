"""What is packaged, and what .funcignore keeps out: as git reads it, and as Azure Functions Core Tools does."""

import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import pytest

from local.package.contents import APP, functions, jobs, webjobs
from local.package.errors import SourceError
from local.package.source import Source, read_source
from local.processes import ROOT

# What stands, or may stand, beside the app: made by tools, by git, by editors, by a deployment.
STRANGERS = [
    ".azure/dev/.env",
    ".build/packages/one.whl",
    ".ci/run",
    ".coverage",
    ".editorconfig",
    ".env",
    ".env.local",
    ".funcignore",
    ".git/config",
    ".gitattributes",
    ".github/workflows/check.yml",
    ".gitignore",
    ".hypothesis/examples/1",
    ".idea/workspace.xml",
    ".import_linter_cache/1",
    ".mypy_cache/3.13/one.json",
    ".npmrc",
    ".python-version",
    ".venv-infra/bin/checkov",
    ".venv/bin/python",
    ".vscode/settings.json",
    "CHANGELOG.md",
    "LICENSE",
    "LICENSE.txt",
    "Makefile",
    "README.md",
    "__pycache__/function_app.cpython-313.pyc",
    "azure.yaml",
    "benchmarks/report.md",
    "bicepconfig.json",
    "dist/functions.zip",
    "docs/deploy.md",
    "functions/__pycache__/settings.cpython-313.pyc",
    "functions/api/__pycache__/routes.cpython-313.pyc",
    "infra/main.bicep",
    "local.settings.example.json",
    "local.settings.json",
    "local/stack.py",
    "node_modules/azurite/package.json",
    "package-lock.json",
    "package.json",
    "pyproject.toml",
    "tests/conftest.py",
    "uv.lock",
    "webjob/relay/loop.py",
    "webjob/requirements.txt",
]
# Filled by `func azure functionapp publish --build local`, which uploads it.
OF_A_LOCAL_BUILD = ".python_packages/lib/site-packages/requests/__init__.py"


def source_of(folder: Path, files: Iterable[str], funcignore: str = "") -> Source:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("")
    (folder / ".funcignore").write_text(funcignore)
    return Source(folder, tuple(sorted(files)), 0, "")


def core_tools_admits(file: str, lines: Iterable[str]) -> bool:
    """Whether Core Tools uploads a file: its GitIgnoreParser.cs holds each line, as a prefix, against the path.

    There `*` is one character or more within a folder, `**` one or more of any kind; the folders .git and .vscode, and
    some files, are left out whatever .funcignore says (FileSystemHelpers.cs, GetLocalFiles).
    """
    parts = PurePosixPath(file).parts
    if {".git", ".vscode"} & set(parts[:-1]) or parts[-1] in {".funcignore", ".gitignore", "local.settings.json"}:
        return False
    rules = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    assert not [rule for rule in rules if rule.startswith("!")], "exceptions are read in two quite different ways"
    return not any(re.match(_prefix(rule.removeprefix("/")), file) for rule in rules)


def _prefix(rule: str) -> str:
    wild = {"**": ".+", "*": "[^/]+"}
    return "".join(wild.get(part, re.escape(part)) for part in re.split(r"(\*\*|\*)", rule))


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return (ROOT / ".funcignore").read_text().splitlines()


@pytest.fixture(scope="module")
def of_the_tree() -> tuple[str, ...]:
    return read_source(ROOT, os.environ).files


@pytest.mark.parametrize("stranger", STRANGERS)
def test_core_tools_leaves_behind(stranger: str, lines: list[str]) -> None:
    assert not core_tools_admits(stranger, lines)


def test_core_tools_uploads_the_app_what_it_built_and_nothing_else(
    lines: list[str], of_the_tree: tuple[str, ...]
) -> None:
    admitted = [file for file in (*of_the_tree, OF_A_LOCAL_BUILD) if core_tools_admits(file, lines)]
    assert {PurePosixPath(file).parts[0] for file in admitted} == {*APP, ".python_packages"}


def test_both_readings_of_funcignore_admit_the_same_files(
    tmp_path: Path, lines: list[str], of_the_tree: tuple[str, ...]
) -> None:
    files = {*of_the_tree, *STRANGERS}
    source = source_of(tmp_path, files, "\n".join(lines))
    packaged = {entry.name for entry in functions(source)}
    assert packaged == {file for file in files if core_tools_admits(file, lines)}


def test_what_funcignore_does_not_name_stops_the_packaging(tmp_path: Path) -> None:
    source = source_of(tmp_path, [*APP[:1], "functions/a.py", "host.json", "requirements.txt", "notes/secret"])
    with pytest.raises(SourceError, match=r"admits notes: name it there"):
        functions(source)


def test_an_app_without_its_requirements_stops_the_packaging(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"requirements\.txt is missing"):
        functions(source_of(tmp_path, ["function_app.py", "functions/a.py", "host.json"]))


JOB = ["webjob/jobs/continuous/ledger-relay/run.sh", "webjob/jobs/continuous/ledger-relay/settings.job"]


def test_a_job_gets_its_packages_and_site_packages_and_run_sh_the_exec_bit(tmp_path: Path) -> None:
    source = source_of(tmp_path, [*JOB, "webjob/relay/loop.py", "webjob/audit/fold.py", "webjob/requirements.txt"])
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "requests.py").write_text("")
    folder = "App_Data/jobs/continuous/ledger-relay/"
    assert {entry.name.removeprefix(folder): entry.mode for entry in webjobs(source, tmp_path / "site")} == {
        "run.sh": 0o755,
        "settings.job": 0o644,
        "relay/loop.py": 0o644,
        "site-packages/requests.py": 0o644,
    }


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([JOB[0], "webjob/relay/loop.py"], "has no settings.job"),
        (JOB, "webjob/relay is missing"),
        (["webjob/jobs/triggered/other/run.sh", "webjob/jobs/triggered/other/settings.job"], "which packages"),
    ],
)
def test_a_job_that_is_not_whole_stops_the_packaging(tmp_path: Path, files: list[str], words: str) -> None:
    with pytest.raises(SourceError, match=words):
        webjobs(source_of(tmp_path, files), tmp_path / "site")


def test_jobs_are_found_by_their_folders() -> None:
    assert jobs([*JOB, "webjob/jobs/triggered/ledger-audit/run.sh", "webjob/relay/loop.py"]) == [
        ("continuous", "ledger-relay"),
        ("triggered", "ledger-audit"),
    ]
