"""The outcome that the Function gives each event; the relay decides by it alone. See docs/contract.md."""

import enum


class Outcome(enum.StrEnum):
    """What became of one event."""

    APPLIED = "applied"
    """The record changed."""
    DUPLICATE = "duplicate"
    """The record holds it already."""
    IGNORED = "ignored"
    """It is no car of a trusted lessor."""
    DEFERRED = "deferred"
    """A transaction that it builds on was not applied yet."""
    REJECTED = "rejected"
    """Its evidence fails: id, signature or shape."""
    FAILED = "failed"
    """Storage, or a fault of our own, this time."""
