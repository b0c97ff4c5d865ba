"""What can go wrong in the audit, beside what can in the relay's parts that it uses (relay.errors).

AuditError
├── NothingToAuditError     no relay has run on this ledger yet (exit code 1)
└── UnfoldableError         the blocks that a node shows contradict each other (exit code 7)
"""


class AuditError(Exception):
    """Base of all that the audit itself raises."""


class NothingToAuditError(AuditError):
    """There is no checkpoint: nothing says up to where the record should equal the ledger."""


class UnfoldableError(AuditError):
    """A transaction spends what its car does not have: what was read is no ledger, or not all of it."""
