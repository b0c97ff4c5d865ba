"""Does what may fail for a while until it succeeds, but not for ever: an audit that cannot go on gives up."""

from collections.abc import Callable

from relay.bell import Bell
from relay.patience import until_done

WAIT_CAP_S = 10.0
"""The longest wait between two attempts."""


class Patience:
    """How long anything may fail in a row before it is given up."""

    def __init__(self, bell: Bell, seconds: float) -> None:
        self.bell = bell
        self._seconds = seconds

    def until_done[T](self, what: str, action: Callable[[], T]) -> T:
        """The result of `action`, which is called again, with backoff, while it raises PassingError.

        Raises the last PassingError when it has failed for too long, and StopRequestedError when it is time to stop.
        """
        return until_done(self.bell, what, action, WAIT_CAP_S, self._seconds)
