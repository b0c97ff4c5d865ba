"""Secrets as people have them at hand: keys of functions and accounts, signing secrets, connection strings, a SAS."""

import base64
import hashlib
import re

from hypothesis import strategies as st

SHOWN = 8
"""So many characters of a secret are too many."""


def secret_texts() -> st.SearchStrategy[str]:
    """Any secret of any kind, as it would be pasted into a setting."""
    signing_key = st.tuples(st.integers(0, 10**9), st.integers(24, 64)).map(lambda one: _key(*one))
    account_key = st.integers(0, 10**9).map(_key)
    function_key = account_key.map(lambda key: key[:54].replace("+", "-").replace("/", "_") + "==")
    return st.one_of(
        function_key,
        account_key,
        account_key.map("DefaultEndpointsProtocol=https;AccountName=acme;AccountKey={}".format),
        signing_key,
        signing_key.map("whsec_{}".format),
        signing_key.map("TableEndpoint=https://acme.example;SharedAccessSignature=sv=2019-02-02&sig={}%3D".format),
    )


def shows(text: str, secret: str) -> bool:
    """Whether a part of the secret's key stands in a text."""
    key = max(re.split("[=;&%_]", secret), key=len)
    return any(key[start : start + SHOWN] in text for start in range(len(key) - SHOWN + 1))


def _key(number: int, size: int = 64) -> str:
    """A key of so many bytes that is as random as a real one, the same for the same number."""
    return base64.b64encode(hashlib.shake_256(str(number).encode()).digest(size)).decode()
