"""Sets up everything that the demo and the tests need: .venv from hash-pinned requirements, and Azurite by npm ci.

Run by install.sh with Python 3.13, before anything is installed: it uses the standard library alone. What is set up
already is left as it is, so that a second run ends at once. The tools that check infra/ have an environment of their
own, made when they are first asked for.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
INFRA_VENV = ROOT / ".venv-infra"
NODE_MODULES = ROOT / "node_modules"
BUILD_REQUIREMENTS = ROOT / "local" / "build-requirements.txt"
REQUIREMENTS = ROOT / "local" / "requirements.txt"
INFRA_REQUIREMENTS = ROOT / "local" / "infra-requirements.txt"
PACKAGE_LOCK = ROOT / "package-lock.json"
SHOW_EVERY_S = 2.0


class SetupError(Exception):
    """Something is missing or did not install; the message says what to do."""


def main() -> int:
    """Set up what is not set up; the exit code."""
    try:
        once("Python packages", VENV, [BUILD_REQUIREMENTS, REQUIREMENTS], install_python_packages)
        once("Azurite", NODE_MODULES, [PACKAGE_LOCK], install_azurite)
    except SetupError as error:
        print(f"setup failed: {error}", file=sys.stderr)
        return 1
    return 0


def once(name: str, folder: Path, pins: Sequence[Path], install: Callable[[], None]) -> None:
    """Run `install` unless `folder` holds the mark that it ran with the same pins and the same Python."""
    mark = folder / ".installed"
    pinned = hashlib.sha256(sys.version.encode() + b"".join(pin.read_bytes() for pin in pins)).hexdigest()
    if mark.exists() and mark.read_text() == pinned:
        return
    began = time.monotonic()
    print(f"Installing {name} into {folder.name}/ ...", flush=True)
    install()
    mark.write_text(pinned)
    print(f"Installed {name} in {time.monotonic() - began:.0f} s.", flush=True)


def infra_tools() -> Path:
    """The folder of the programs that check infra/, in an environment that is made where it is not there.

    Raises SetupError.
    """
    once("the tools that check infra/", INFRA_VENV, [INFRA_REQUIREMENTS], install_infra_tools)
    return INFRA_VENV / "bin"


def install_python_packages() -> None:
    """Make .venv anew and install the pinned packages, each held against its hash."""
    # Some packages come as sources only. They are built with the pinned tools of the first file, not with others that
    # pip would fetch for the purpose.
    make_environment(VENV)
    install_pinned(VENV, BUILD_REQUIREMENTS, ["--no-build-isolation"])
    install_pinned(VENV, REQUIREMENTS, ["--no-build-isolation"])


def install_infra_tools() -> None:
    """Make .venv-infra anew and install the pinned packages, each held against its hash and none of them built here."""
    make_environment(INFRA_VENV)
    install_pinned(INFRA_VENV, INFRA_REQUIREMENTS, ["--only-binary", ":all:"])


def make_environment(folder: Path) -> None:
    """Make a virtual environment anew; the one that runs this is overwritten, not removed. Raises SetupError."""
    if folder.exists() and Path(sys.prefix) != folder:
        shutil.rmtree(folder)
    try:
        venv.create(folder, with_pip=True, symlinks=os.name != "nt")
    except (OSError, subprocess.CalledProcessError) as error:
        raise SetupError(
            f"{folder} could not be made (on Debian and Ubuntu: apt install python3-venv): {error}"
        ) from error


def install_pinned(folder: Path, requirements: Path, how: Sequence[str]) -> None:
    """Install what a requirements file pins, and nothing else, into the environment in `folder`. Raises SetupError."""
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--no-deps"]
    pip += ["--require-hashes", "--progress-bar", "off", *how]
    wanted = sum(" \\" in line and "==" in line for line in requirements.read_text().splitlines())
    run([*pip, "-r", str(requirements)], of=wanted, counted=("Collecting ", "Processing ", "Requirement already"))


def install_azurite() -> None:
    """Install the pinned Azurite. No package's own install script is run."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise SetupError("Node.js 20 or later with npm is missing; it runs Azurite. On Debian: apt install nodejs npm")
    run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"])


def run(command: Sequence[str], of: int = 0, counted: tuple[str, ...] = ()) -> None:
    """Run a command, showing how far it is by counting the lines that begin with one of `counted`.

    Raises SetupError with the end of its output when it fails.
    """
    done, shown, lines = 0, time.monotonic(), []
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        for line in process.stdout or ():
            lines.append(line)
            done += line.startswith(counted) if counted else 0
            if time.monotonic() - shown > SHOW_EVERY_S:
                shown = time.monotonic()
                print(f"  {done} of {of} packages" if 0 < done < of else "  ...", flush=True)
    if process.returncode:
        raise SetupError(f"{' '.join(command)} ended with {process.returncode}:\n{''.join(lines[-25:])}")


if __name__ == "__main__":
    sys.exit(main())
