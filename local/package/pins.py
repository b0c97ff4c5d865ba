"""What a requirements file asks for on the target, Linux x86_64 with CPython 3.13, whatever machine reads it.

It fetches nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from local.package.errors import PinError

# https://packaging.python.org/en/latest/specifications/dependency-specifiers/#environment-markers
TARGET: Mapping[str, str] = {
    "implementation_name": "cpython",
    "implementation_version": "3.13.0",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_release": "",
    "platform_system": "Linux",
    "platform_version": "",
    "python_full_version": "3.13.0",
    "python_version": "3.13",
    "sys_platform": "linux",
}
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Pin:
    """One package: its canonical name, its version, and the SHA-256 of each file that may be it, in hexadecimal."""

    name: str
    version: str
    hashes: frozenset[str]

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"

    @property
    def line(self) -> str:
        """The pin as a line of a requirements file, without a marker."""
        return " ".join([str(self), *(f"--hash=sha256:{digest}" for digest in sorted(self.hashes))])


def read_pins(text: str) -> tuple[Pin, ...]:
    """The packages that a requirements file of `uv pip compile --generate-hashes` pins for the target, by name.

    Raises PinError when a line is no requirement of one version with its hashes.
    """
    without_comments = re.sub(r"(^|\s)#.*$", "", text, flags=re.MULTILINE)
    lines = without_comments.replace("\\\n", " ").splitlines()
    return tuple(sorted((pin for line in lines if line.strip() and (pin := _pin(line))), key=lambda pin: pin.name))


def _pin(line: str) -> Pin | None:
    words = line.partition("--hash")[0].strip()
    try:
        requirement = Requirement(words)
    except InvalidRequirement as error:
        raise PinError(f"{words!r} is no requirement that can be read: {error}") from error
    if requirement.marker is not None and not requirement.marker.evaluate(dict(TARGET)):
        return None
    versions = [one.version for one in requirement.specifier if one.operator == "=="]
    hashes = frozenset(_HASH.findall(line))
    if len(versions) != 1 or len(requirement.specifier) != 1 or not hashes:
        raise PinError(f"{words!r} needs one version (==) and its sha256 hashes: run `make lock`")
    return Pin(canonicalize_name(requirement.name), versions[0], hashes)
