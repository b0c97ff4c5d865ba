"""Signed requests, as any sender after Standard Webhooks makes them: written here without the code under test."""

import base64
import hashlib
import hmac


def signing_secret(name: str, size: int = 32) -> str:
    """The signing secret of this name, made of `size` bytes: always the same."""
    return "whsec_" + base64.b64encode(hashlib.shake_256(name.encode()).digest(size)).decode()


def signature(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    """The signature made with one secret, `v1,...`."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = b".".join([message_id.encode(), timestamp.encode(), body])
    return "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()


def signed(message_id: str, seconds: int, body: bytes, *secret: str) -> dict[str, str]:
    """The three headers of a request with this body, sent at `seconds` (Unix time) and signed with each secret."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(signature(one, message_id, str(seconds), body) for one in secret),
    }
