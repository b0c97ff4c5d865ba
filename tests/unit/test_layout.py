"""What is deployed is what was meant: nothing local, nothing that a remote build cannot resolve."""

import ast
import json
import os
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_function_app_imports_the_function_app_alone() -> None:
    tree = ast.parse((ROOT / "function_app.py").read_text())
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert {str(module).split(".")[0] for module in modules} == {"os", "azure", "functions"}


def test_the_function_apps_requirements_are_pinned_and_need_no_bigchaindb() -> None:
    text = (ROOT / "requirements.txt").read_text()
    pinned = re.findall(r"^([a-z0-9._-]+)(?:\[[a-z,]+\])?==", text, re.MULTILINE)
    assert {"azure-functions", "azure-data-tables"} <= set(pinned)
    assert not [name for name in pinned if "bigchain" in name or "cryptoconditions" in name]
    assert text.count("--hash=sha256:") >= len(pinned)


def test_the_same_versions_are_tested_and_deployed() -> None:
    tested = versions(ROOT / "local" / "requirements.txt")
    for deployed in (ROOT / "requirements.txt", ROOT / "webjob" / "requirements.txt"):
        found = versions(deployed)
        assert found
        assert found.items() <= tested.items()


def versions(path: Path) -> dict[str, str]:
    """Version by package."""
    return dict(re.findall(r"^([a-z0-9._-]+)(?:\[[a-z,]+\])?==([^ ;\\]+)", path.read_text(), re.MULTILINE))


def test_the_webjob_is_a_singleton_that_kudu_can_start() -> None:
    job = ROOT / "webjob" / "jobs" / "continuous" / "ledger-relay"
    assert json.loads((job / "settings.job").read_text())["is_singleton"] is True
    assert os.access(job / "run.sh", os.X_OK)
    assert (job / "run.sh").read_text().startswith("#!/bin/sh\n")
    assert "\nexec " in (job / "run.sh").read_text()


def test_the_example_settings_name_what_the_function_app_reads() -> None:
    example = json.loads((ROOT / "local.settings.example.json").read_text())["Values"]
    assert {"LEDGER_NAME", "LESSOR_PUBLIC_KEYS", "TABLES_CONNECTION_STRING"} <= example.keys()


def test_what_must_not_be_published_is_named_in_funcignore() -> None:
    ignored = (ROOT / ".funcignore").read_text().splitlines()
    top = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    published = {"functions", "__pycache__"}
    assert {name for name in top - published if f"{name}/" not in ignored} == set()
