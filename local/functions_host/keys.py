"""Which authorization level a key opens. Pure; it knows neither requests nor where the keys come from.

Source: SecretManager.GetAuthorizationLevelAsync of the host, which looks for the master key, then among the host keys,
then among the keys of the one function that is called.
"""

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from local.functions_host.errors import SettingsError


class AuthLevel(IntEnum):
    """The levels of an HTTP trigger, each including the ones before it."""

    ANONYMOUS = 0
    FUNCTION = 1
    ADMIN = 2


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of the host: the master key opens every function; any of `host_keys` every one of level FUNCTION;
    those of `function_keys` the one whose name, in lower case, they stand under."""

    # Not in the repr: a record that is logged or shown in a traceback must not give a key away.
    host_keys: tuple[str, ...] = field(default=(), repr=False)
    master_key: str = field(default="", repr=False)
    function_keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)

    @classmethod
    def from_text(cls, host_keys: str, master_key: str, function_keys: str = "") -> "Keys":
        """Keys as they stand in the environment: separated by commas, those of functions as `name=key`.

        Spaces around each are dropped; a function may be named more than once. Raises SettingsError, which shows no
        key, for a key of a function that has no name.
        """
        named: dict[str, tuple[str, ...]] = {}
        for place, part in enumerate(_parts(function_keys), 1):
            # A key may end with the sign itself.
            name, _, key = (text.strip() for text in part.partition("="))
            if not (name and key):
                raise SettingsError(f"function keys: number {place} is not of the form name=key (it is not shown)")
            named[name.lower()] = (*named.get(name.lower(), ()), key)
        return cls(tuple(_parts(host_keys)), master_key.strip(), named)

    def level_of(self, presented: str | None, function: str) -> AuthLevel:
        """The highest level that a key opens on this function; ANONYMOUS for none, an empty or an unknown one."""
        if not presented:
            return AuthLevel.ANONYMOUS
        if _is_among(presented, [self.master_key]):
            return AuthLevel.ADMIN
        accepted = [*self.host_keys, *self.function_keys.get(function.lower(), ())]
        return AuthLevel.FUNCTION if _is_among(presented, accepted) else AuthLevel.ANONYMOUS


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _is_among(presented: str, keys: Iterable[str]) -> bool:
    # Every key is compared, each in constant time: how long the answer takes tells nothing about the keys.
    return sum(hmac.compare_digest(presented.encode(), key.encode()) for key in keys) > 0
