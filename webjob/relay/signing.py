"""Signs requests after Standard Webhooks, so that the Function takes events from this relay alone. Pure.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md. While a secret is
being rotated a request carries one signature for each; the receiver accepts any that it knows.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Sequence

PREFIX = "whsec_"


def batch_id(transaction_ids: Iterable[str]) -> str:
    """The `webhook-id` of a batch: the same for the same events, however often they are sent."""
    joined = "\n".join(transaction_ids).encode(errors="surrogatepass")
    return "batch_" + hashlib.sha256(joined).hexdigest()[:32]


def signature_headers(secrets: Sequence[bytes], webhook_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers that sign `body`. `timestamp` is in Unix seconds; without secrets there is no signature."""
    headers = {"webhook-id": webhook_id, "webhook-timestamp": str(timestamp)}
    if secrets:
        signed = f"{webhook_id}.{timestamp}.".encode() + body
        headers["webhook-signature"] = " ".join(f"v1,{_signature(secret, signed)}" for secret in secrets)
    return headers


def _signature(secret: bytes, signed: bytes) -> str:
    return base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
