"""Brings the WebJobs' dependencies for the target: wheels as their authors published them, each held against its hash.

What is published as sources only is built here, if it is pure Python. pip does the work; it is told the target, so that
it does not matter what machine this is.
"""

import hashlib
import importlib.metadata
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)

from local.install import SetupError, run
from local.package.errors import ToolError, WheelError
from local.package.pins import Pin

PYTHON = (3, 13)
# glibc 2.28 and what older ones ran: App Service's images for Python 3.13 have a newer one.
PLATFORMS = (
    *(f"manylinux_2_{minor}_x86_64" for minor in range(28, 4, -1)),
    *("manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"),
)
ABIS = ("cp313", "abi3", "none")
# Published as sources only; any other package must come as a wheel for the target.
SOURCES_ONLY = frozenset({"bigchaindb-driver", "cryptoconditions"})
# Written by whoever installs, not by the author: its name, where from, and hashes of files that are not packaged.
INSTALLERS_FILES = ("INSTALLER", "RECORD", "REQUESTED", "direct_url.json")

# pip's words for what can go wrong, most telling first, and what to do.
_REASONS: Mapping[str, str] = {
    r"DO NOT MATCH THE HASHES": "a file is not what its hash says. If the pin is right, the index serves another file",
    r"NewConnectionError|ConnectTimeout|ReadTimeout|ConnectionError|name resolution|Network is unreachable": (
        "the package index does not answer. Is there a network, and does pip's configuration name the right index?"
    ),
    r"Could not find a version|No matching distribution": (
        "the index has no file of it for Linux x86_64 and CPython 3.13 that has one of the pinned hashes, or does not "
        "answer. If it is published as sources only, name it in SOURCES_ONLY"
    ),
}
# Where pip's errors name a package.
_NAMED = re.compile(r"(?:requirement|distribution found for|^ {4})\s*([a-z0-9._-]+==[^\s;]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Fetched:
    """The pinned files: wheels for the target, and the sources of what is published as sources only."""

    wheels: tuple[Path, ...]
    sources: tuple[Path, ...]


def install(pins: Sequence[Pin], build_tools: Sequence[Pin], cache: Path, site_packages: Path) -> None:
    """Fill the new folder `site_packages` with the pinned packages, for the target.

    Files are kept in `cache` and held against their hashes each time. Raises WheelError, and ToolError when this Python
    or its build tools are not the pinned ones.
    """
    check_tools(build_tools)
    fetched = fetch(pins, cache)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        wheels = [*fetched.wheels, *build(fetched.sources, Path(folder))]
        # Isolated: what the environment tells pip is for fetching; a root or a prefix would put files elsewhere.
        pip = _pip("install", "--isolated", "--no-index", "--no-compile", "--only-binary=:all:", *_target(), "--target")
        _run([*pip, str(site_packages), *map(str, wheels)], "the wheels cannot be installed")
    check_installed(pins, site_packages)
    _take_out_what_the_installer_wrote(site_packages)


def check_tools(build_tools: Iterable[Pin]) -> None:
    """Raises ToolError when this is not CPython 3.13 with the pinned build tools."""
    if sys.version_info[:2] != PYTHON or sys.implementation.name != "cpython":
        raise ToolError(f"{sys.executable} is not CPython 3.13: run `make package`, which uses the right one")
    for tool in build_tools:
        try:
            found = importlib.metadata.version(tool.name)
        except importlib.metadata.PackageNotFoundError:
            found = "none"
        if found != tool.version:
            raise ToolError(f"{tool} is pinned, and {found} is installed: run `make setup`")


def fetch(pins: Sequence[Pin], cache: Path) -> Fetched:
    """The pinned files, from the folder `cache` or, where they are not there yet, with pip. Raises WheelError."""
    wanted = "\n".join([*(pin.line for pin in pins), *PLATFORMS, *ABIS, *sorted(SOURCES_ONLY)])
    folder = cache / hashlib.sha256(wanted.encode()).hexdigest()[:16]
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(dir=cache))
        try:
            _download([pin for pin in pins if pin.name not in SOURCES_ONLY], new, "--only-binary=:all:", *_target())
            _download([pin for pin in pins if pin.name in SOURCES_ONLY], new, "--no-binary=:all:")
            with suppress(OSError):  # another build was quicker
                new.rename(folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    return check(pins, folder)


def check(pins: Sequence[Pin], folder: Path) -> Fetched:
    """The files of a folder: one for each pin, with one of its hashes. Raises WheelError when that is not so."""
    pinned = {pin.name: pin for pin in pins}
    remedy = f"delete {folder} and run this again"
    wheels: list[Path] = []
    sources: list[Path] = []
    for path in sorted(folder.iterdir()):
        name = distribution(path)
        pin = pinned.pop(name, None)
        if pin is None:
            raise WheelError(f"{path} is not pinned, or there twice: {remedy}")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest not in pin.hashes:
            raise WheelError(f"{path} has the hash {digest}, which is none of those pinned for {pin}: {remedy}")
        (wheels if path.suffix == ".whl" else sources).append(path)
    if pinned:
        raise WheelError(f"{', '.join(map(str, pinned.values()))}: not in {folder}: {remedy}")
    return Fetched(tuple(wheels), tuple(sources))


def check_installed(pins: Iterable[Pin], site_packages: Path) -> None:
    """Raises WheelError when a pinned package is not in the folder: pip's configuration may name another."""
    found = {canonicalize_name(path.name.partition("-")[0]) for path in site_packages.glob("*.dist-info")}
    if missing := [str(pin) for pin in pins if pin.name not in found]:
        raise WheelError(
            f"{', '.join(missing)}: pip installed them, but not into the package. Does its configuration name a root, "
            "or a prefix? See `pip config list`"
        )


def distribution(path: Path) -> str:
    """The canonical name of the package that a file's name tells. Raises WheelError when it tells none."""
    try:
        return (parse_wheel_filename if path.suffix == ".whl" else parse_sdist_filename)(path.name)[0]
    except (InvalidWheelFilename, InvalidSdistFilename) as error:
        raise WheelError(f"{path} is no package: {error}") from error


def build(sources: Sequence[Path], into: Path) -> list[Path]:
    """Wheels of these sources, built with the installed tools. Raises WheelError when one is not pure Python."""
    if not sources:
        return []
    pip = _pip("wheel", "--isolated", "--no-index", "--no-cache-dir", "--no-build-isolation", "--wheel-dir")
    _run([*pip, str(into), *map(str, sources)], "sources cannot be built")
    built = sorted(into.glob("*.whl"))
    for wheel in built:
        if not wheel.name.endswith("-none-any.whl"):
            raise WheelError(
                f"{distribution(wheel)} has compiled code ({wheel.name}), which this machine cannot build for "
                "Linux x86_64 and CPython 3.13 so that it is the same everywhere: it needs a published wheel"
            )
    return built


def explain(output: str) -> str:
    """What went wrong, from pip's output: the packages it names and what to do, or else its last lines."""
    for pattern, reason in _REASONS.items():
        if re.search(pattern, output):
            named = dict.fromkeys(_NAMED.findall(output))
            return f"{', '.join(named)}: {reason}" if named else reason
    return "pip says:\n" + "\n".join(output.splitlines()[-10:])


def _download(pins: Sequence[Pin], into: Path, *options: str) -> None:
    if not pins:
        return
    requirements = into / "requirements.txt"
    requirements.write_text("".join(pin.line + "\n" for pin in pins), encoding="utf-8")
    print(f"Fetching packages: {len(pins)} ...", flush=True)
    pip = _pip("download", "--require-hashes", "--no-build-isolation", "--progress-bar", "off", *options)
    command = [*pip, "--dest", str(into), "--requirement", str(requirements)]
    _run(command, "a package cannot be fetched", of=len(pins))
    requirements.unlink()


def _pip(command: str, *options: str) -> list[str]:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", command]
    return [*pip, "--no-deps", *options]


def _target() -> list[str]:
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    abis = [word for abi in ABIS for word in ("--abi", abi)]
    return [*platforms, *abis, "--implementation", "cp", "--python-version", "3.13"]


def _run(command: Sequence[str], what: str, of: int = 0) -> None:
    try:
        run(command, of=of, counted=("Collecting ",))
    except SetupError as error:
        raise WheelError(f"{what}: {explain(str(error))}") from error


def _take_out_what_the_installer_wrote(site_packages: Path) -> None:
    """Console scripts, which name this machine's Python, and the installer's own files; what the authors gave stays."""
    shutil.rmtree(site_packages / "bin", ignore_errors=True)
    for name in INSTALLERS_FILES:
        for path in site_packages.glob(f"*.dist-info/{name}"):
            path.unlink()
    for folder, folders, _ in os.walk(site_packages):
        if "__pycache__" in folders:
            shutil.rmtree(Path(folder) / "__pycache__")
            folders.remove("__pycache__")
