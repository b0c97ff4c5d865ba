"""What can go wrong in this package, as one tree. It knows no reasons: they are in the messages.

HostError
├── StartError              the process ends with exit code 1
│   ├── SettingsError       host.json, local.settings.json or an app setting is wrong
│   ├── AppError            the app cannot be indexed
│   ├── RouteError          a route template is wrong, reserved, or taken by another function
│   └── AddressError        the address cannot be listened on
├── QueueFullError          one request: 429
└── InvocationError         one request: 500
"""


class HostError(Exception):
    """Anything this package raises."""


class StartError(HostError):
    """The host cannot start; the message says which file or address is at fault, and why."""


class SettingsError(StartError):
    """host.json, local.settings.json or an app setting cannot be read or holds a value that the host refuses."""


class AppError(StartError):
    """function_app.py is missing, fails to import, or is refused by the worker library."""


class RouteError(StartError):
    """A route template is malformed, lies in the host's own space, or collides with another function's."""


class AddressError(StartError):
    """Nobody can listen on the address asked for."""


class QueueFullError(HostError):
    """As many requests as `maxOutstandingRequests` allows are already held."""


class InvocationError(HostError):
    """A function raised, or returned what its bindings do not allow; `stack_trace` is its traceback as text."""

    def __init__(self, message: str, stack_trace: str) -> None:
        super().__init__(message)
        self.stack_trace = stack_trace
