"""Command line: `python -m local.package [--output dist]` makes functions.zip and webjobs.zip in a folder."""

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from local.package import contents
from local.package.archive import Archive, write_archive
from local.package.errors import PackageError, PinError
from local.package.pins import Pin, read_pins
from local.package.source import read_source
from local.package.wheels import install
from local.processes import ROOT

CACHE = Path(".build") / "packages"


def make(root: Path, output: Path, environ: Mapping[str, str]) -> list[Archive]:
    """Make both packages of the work tree `root` in the folder `output`; what was made. Raises PackageError."""
    source = read_source(root, environ)
    print(f"Packages of {source.origin}, stamped {datetime.fromtimestamp(source.epoch, UTC):%Y-%m-%d %H:%M:%S} UTC")
    for note in source.notes:
        print(f"note: {note}", flush=True)
    cache = root / CACHE
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        site_packages = Path(folder) / "site-packages"
        pins = _pins(root / "webjob" / "requirements.txt")
        install(pins, _pins(root / "local" / "build-requirements.txt"), cache, site_packages)
        webjobs = contents.webjobs(source, site_packages)
        return [
            write_archive(output / "functions.zip", contents.functions(source), source.epoch),
            write_archive(output / "webjobs.zip", webjobs, source.epoch),
        ]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; its exit code: 0 when both packages are made, 1 when not, 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m local.package", description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="the folder to make them in (default: dist)")
    asked = parser.parse_args(arguments)
    try:
        made = make(ROOT, asked.output, os.environ)
    except PackageError as error:
        print(f"no packages were made: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"no packages were made: {error.filename or 'a file'}: {error.strerror}", file=sys.stderr)
        return 1
    for archive in made:
        print(f"{_shown(archive.path)}  {archive.size:,} bytes, {archive.files} files, sha256 {archive.digest}")
    return 0


def _pins(path: Path) -> tuple[Pin, ...]:
    try:
        return read_pins(path.read_text(encoding="utf-8"))
    except PinError as error:
        raise PinError(f"{path}: {error}") from error


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


if __name__ == "__main__":
    sys.exit(main())
