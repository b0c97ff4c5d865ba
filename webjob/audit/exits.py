"""The exit codes of the audit: the relay's where they mean the same. Each has its line in docs/audit.md."""

import enum


class Exit(enum.IntEnum):
    """How an audit ended. Kudu calls a run failed whose code is not 0."""

    DONE = 0
    """The record equals the ledger."""
    FAULT = 1
    """A fault of the audit's own; or no relay has run yet, so that there is nothing to audit."""
    SETTINGS = 2
    """A setting, or an argument, is wrong."""
    OTHER_LEDGER = 4
    """The checkpoint was not made on this ledger."""
    NO_TABLES = 5
    """Table Storage does not answer."""
    INCOMPLETE = 7
    """The audit did not come to its end: no node answers, or it was asked to stop."""
    DIFFERS = 8
    """The record differs from the ledger."""
