"""Writes a ZIP file whose bytes follow from its entries and one time alone.

Entries stand in the order of their names, without folders; each has the time and mode it is given, and no more. It does
not know what is packaged.
"""

import hashlib
import os
import stat
import tempfile
import time
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from local.package.errors import PackageError

FILE, PROGRAM = 0o644, 0o755
UNIX = 3  # "version made by", APPNOTE.TXT 4.4.2: the high half of the external attributes is a Unix mode
LEVEL = 6  # of zlib; another zlib (zlib-ng) may write other bytes for it


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of an archive: its name in it, where its content is, and its permissions."""

    name: str
    path: Path
    mode: int = FILE


@dataclass(frozen=True, slots=True)
class Archive:
    """A written archive: where it is, its size in bytes, the number of its files, and its SHA-256 in hexadecimal."""

    path: Path
    size: int
    files: int
    digest: str


def write_archive(path: Path, entries: Iterable[Entry], epoch: int) -> Archive:
    """Write the entries to `path`, all stamped with `epoch` (seconds since 1970, as UTC; a ZIP file holds even ones).

    What stood at `path` is replaced once the new file is whole. Raises PackageError when the names of two entries are
    the same, or differ in case alone: Kudu lists a job's files without regard to case.
    """
    ordered = sorted(entries, key=lambda entry: entry.name)
    _check_names(ordered)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as sink, zipfile.ZipFile(sink, "w") as archive:
            for entry in ordered:
                archive.writestr(_header(entry, epoch), entry.path.read_bytes(), zipfile.ZIP_DEFLATED, LEVEL)
        written = Path(unfinished)
        written.chmod(FILE)
        digest = hashlib.sha256(written.read_bytes()).hexdigest()
        found = Archive(path, written.stat().st_size, len(ordered), digest)
        written.replace(path)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise
    return found


def _header(entry: Entry, epoch: int) -> zipfile.ZipInfo:
    moment = time.gmtime(epoch)
    header = zipfile.ZipInfo(
        entry.name, (moment.tm_year, moment.tm_mon, moment.tm_mday, moment.tm_hour, moment.tm_min, moment.tm_sec)
    )
    header.create_system = UNIX
    header.external_attr = (stat.S_IFREG | entry.mode) << 16
    return header


def _check_names(entries: Iterable[Entry]) -> None:
    names: dict[str, str] = {}
    for entry in entries:
        folded = entry.name.casefold()
        if folded in names:
            raise PackageError(f"{names[folded]} and {entry.name} cannot both stand in a package")
        names[folded] = entry.name
