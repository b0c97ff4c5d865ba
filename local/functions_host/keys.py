"""Which authorization level a key opens. Pure; it knows neither requests nor where the keys come from."""

import hmac
from dataclasses import dataclass, field
from enum import IntEnum


class AuthLevel(IntEnum):
    """The levels of an HTTP trigger, each including the ones before it."""

    ANONYMOUS = 0
    FUNCTION = 1
    ADMIN = 2


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of the host: any of `function_keys` opens every function of level FUNCTION, the master key all."""

    # Not in the repr: a record that is logged or shown in a traceback must not give a key away.
    function_keys: tuple[str, ...] = field(default=(), repr=False)
    master_key: str = field(default="", repr=False)

    @classmethod
    def from_text(cls, function_keys: str, master_key: str) -> "Keys":
        """Keys as they stand in the environment: function keys separated by commas, spaces around them dropped."""
        split = (key.strip() for key in function_keys.split(","))
        return cls(tuple(key for key in split if key), master_key.strip())

    def level_of(self, presented: str | None) -> AuthLevel:
        """The highest level that the presented key opens; ANONYMOUS for none, an empty or an unknown one."""
        if not presented:
            return AuthLevel.ANONYMOUS
        # Every key is compared, each in constant time: how long the answer takes tells nothing about the keys.
        is_function = sum(_same(presented, key) for key in self.function_keys) > 0
        if _same(presented, self.master_key):
            return AuthLevel.ADMIN
        return AuthLevel.FUNCTION if is_function else AuthLevel.ANONYMOUS


def _same(presented: str, key: str) -> bool:
    return hmac.compare_digest(presented.encode(), key.encode())
