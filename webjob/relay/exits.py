"""The exit codes of the package's commands. Each has its line in docs/operations.md."""

import enum


class Exit(enum.IntEnum):
    """How a command ended."""

    DONE = 0
    """Stopped as asked, or done as asked."""
    FAULT = 1
    """A fault of the relay's own; or what was asked for is not there."""
    SETTINGS = 2
    """A setting, or an argument, is wrong."""
    SUPERSEDED = 3
    """Another relay has taken over."""
    OTHER_LEDGER = 4
    """The checkpoint was not made on this ledger."""
    NO_TABLES = 5
    """Table Storage does not answer."""
    UNHEALTHY = 6
    """`doctor` found a failure."""
    INCOMPLETE = 7
    """`replay` could not deliver everything."""
