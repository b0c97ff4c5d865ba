"""Whether a request is signed with a secret that both sides know, as Standard Webhooks 1.0.0 has it.

Specification: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md. Of its two
kinds of signature only the symmetric one is known here, v1. Pure: what the clock shows is passed in.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus

from functions.api.answers import RequestError
from functions.settings import Secret, signing_key

ID = "webhook-id"
TIMESTAMP = "webhook-timestamp"
SIGNATURE = "webhook-signature"
TOLERANCE_S = 300
CHALLENGE = "StandardWebhooks"
"""What WWW-Authenticate asks for; the specification has no name of its own for it."""
UNIX_SECONDS = re.compile(r"[0-9]{1,12}")


def check_signature(headers: Mapping[str, str], body: bytes, secrets: Iterable[Secret], now: int) -> None:
    """Raise RequestError 401 unless one of the secrets signed this body, at most TOLERANCE_S seconds from `now`.

    `headers` are looked up in lower case; `now` is in Unix seconds. No secret and no signature is in the error.
    """
    message_id, timestamp, signatures = (_present(headers, name) for name in (ID, TIMESTAMP, SIGNATURE))
    # With a dot in the id, the same signed bytes could be cut into another id, timestamp and body.
    if "." in message_id:
        raise _refused(f"{ID} holds a dot, which separates what is signed; send an id without one")
    if not UNIX_SECONDS.fullmatch(timestamp):
        raise _refused(f"{TIMESTAMP} is not a whole number of seconds; send the Unix time")
    away = abs(now - int(timestamp))
    if away > TOLERANCE_S:
        raise _refused(
            f"{TIMESTAMP} is {away} s away from this clock, allowed are {TOLERANCE_S} s; "
            "set the sender's clock right, and sign every attempt anew"
        )
    content = f"{message_id}.{timestamp}.".encode() + body
    made = [_signature(signing_key(secret.reveal()), content) for secret in secrets]
    # What is of another version, such as v1a, equals none of these.
    if not any(hmac.compare_digest(sent.encode(), one) for sent in signatures.split() for one in made):
        raise _refused(
            f"no v1 signature in {SIGNATURE} matches; sign the bytes that are sent, with a secret that both sides have "
            "in WEBHOOK_SECRETS"
        )


def _present(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name, "")
    if not value:
        raise _refused(
            f"the header {name} is missing; requests must be signed as Standard Webhooks has it, with a secret that "
            "both sides have in WEBHOOK_SECRETS"
        )
    return value


def _signature(key: bytes, content: bytes) -> bytes:
    """The signature of `content` as it stands in the header."""
    return b"v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256))


def _refused(detail: str) -> RequestError:
    return RequestError(HTTPStatus.UNAUTHORIZED, detail, {"WWW-Authenticate": CHALLENGE})
