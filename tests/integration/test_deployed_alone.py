"""What is deployed works with its own requirements and nothing else of this repository's environment."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from local.processes import ROOT
from local.scenario import key_pair

SETTINGS = {
    "LEDGER_NAME": "local",
    "LESSOR_PUBLIC_KEYS": key_pair("the lessor").public_key,
    "TABLES_CONNECTION_STRING": "UseDevelopmentStorage=true",
}

FUNCTIONS = [
    "car",
    "cars",
    "claim_withdrawal",
    "driver",
    "driver_claims",
    "driver_erasure",
    "driver_profile",
    "drivers",
    "explanation",
    "health",
    "ledger_events",
    "openapi",
    "relay",
    "relay_watch",
    "repricing",
    "repricing_preview",
]


def site_packages(requirements: Path, folder: Path) -> Path:
    """A folder that holds the packages of a requirements file and no other, taken from this environment."""
    for name in re.findall(r"^([a-z0-9._-]+)(?:\[[a-z,]+\])?==", requirements.read_text(), re.MULTILINE):
        try:
            files = importlib.metadata.files(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # for another platform
        for file in files:
            if ".." not in file.parts and file.suffix != ".pyc":
                target = folder / file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(file.locate())
    return folder


def run_alone(path: list[Path], *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python with this path alone: no site-packages (-S), no repository, an empty environment."""
    variables = {"PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    command = [sys.executable, "-S", *arguments]
    return subprocess.run(command, env=variables, cwd=path[0], capture_output=True, text=True, timeout=60, check=False)


def test_the_function_app_needs_its_own_requirements_only(tmp_path: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()
    shutil.copy(ROOT / "function_app.py", app)
    shutil.copytree(ROOT / "functions", app / "functions", ignore=shutil.ignore_patterns("__pycache__"))
    packages = site_packages(ROOT / "requirements.txt", tmp_path / "packages")
    listing = "import function_app; print(sorted(f.get_function_name() for f in function_app.app.get_functions()))"

    done = run_alone([app, packages], "-c", listing, **SETTINGS)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(FUNCTIONS)


def test_the_relay_needs_its_own_requirements_only(tmp_path: Path) -> None:
    job = tmp_path / "job"
    shutil.copytree(ROOT / "webjob" / "relay", job / "relay", ignore=shutil.ignore_patterns("__pycache__"))
    packages = site_packages(ROOT / "webjob" / "requirements.txt", tmp_path / "packages")

    help_shown = run_alone([job, packages], "-m", "relay", "--help")
    started = run_alone([job, packages], "-m", "relay", "run", **SETTINGS)

    assert help_shown.returncode == 0, help_shown.stderr
    assert (started.returncode, "LEDGER_URLS" in started.stderr) == (2, True)
