"""Why a package cannot be made.

PackageError
├── SourceError   the work tree, or what git says of it
├── PinError      a requirements file that cannot be read, or lacks a hash
├── ToolError     a program is missing, or is another than is pinned
└── WheelError    a dependency cannot be fetched, is not what its hash says, or cannot be built for the target
"""


class PackageError(Exception):
    """A package cannot be made; the message names the thing and says what to do."""


class SourceError(PackageError):
    """The work tree cannot be read, or lacks a file that must be there."""


class PinError(PackageError):
    """A requirements file does not say exactly what is to be installed."""


class ToolError(PackageError):
    """A program that the packages are made with is missing, or another one than is pinned."""


class WheelError(PackageError):
    """A dependency cannot be had as it is pinned, for the target."""
