"""What can go wrong with the record.

RecordError
├── ConflictError       somebody else wrote, or the answer was lost: read again and decide again
├── UnavailableError    Table Storage does not answer: try later
├── DamagedError        rows contradict each other: a person must look
├── RowTooLargeError    what is to be written does not fit where it must stand
└── RefusedError        Table Storage refuses a key or row for what it is: trying again is of no use
"""


class RecordError(Exception):
    """The record could not be read or written."""


class ConflictError(RecordError):
    """The row is not as it was when it was read, or nobody knows whether the write was done."""


class UnavailableError(RecordError):
    """Table Storage gives no answer, or refuses to serve for now."""


class DamagedError(RecordError):
    """One row says what another denies, as no write of ours leaves them."""


class RefusedError(RecordError):
    """Table Storage refuses what was asked, and always will."""


class RowTooLargeError(RecordError):
    """More rows than one entity group transaction takes, or a value that is too long for a property."""
