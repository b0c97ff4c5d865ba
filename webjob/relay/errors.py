"""What can go wrong in the relay.

RelayError
├── SettingsError           a setting is missing or wrong: the relay does not start (exit code 2)
├── SupersededError         another relay has taken over: this one stops (exit code 3)
├── LedgerMismatchError     the checkpoint is not of this ledger: the relay stops rather than skip (exit code 4)
├── StopRequestedError      somebody asked the relay to stop: it does (exit code 0)
└── PassingError            tried again until it passes
    ├── LedgerError         a node does not answer, or answers what cannot be a block
    └── TablesError         Table Storage does not answer
"""


class RelayError(Exception):
    """Base of all that the relay raises."""


class SettingsError(RelayError):
    """A setting is missing or wrong; the message is one line for the person who sets it."""


class SupersededError(RelayError):
    """The checkpoint belongs to a relay that started later."""


class LedgerMismatchError(RelayError):
    """The checkpoint was not made on this ledger: it is another one, or it was reset."""


class StopRequestedError(RelayError):
    """A stop was asked for while the relay was waiting."""


class PassingError(RelayError):
    """A fault outside the relay that may pass; it is not tried again before `retry_after` seconds."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class LedgerError(PassingError):
    """The node cannot be read just now."""


class TablesError(PassingError):
    """The relay's table cannot be read or written just now."""
