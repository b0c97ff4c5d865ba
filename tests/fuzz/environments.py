"""Environments as inputs: a JSON object of texts. And the parts of a setting that no message may show."""

import json
import re
from collections.abc import Mapping

SECRET_VARIABLES = ("TABLES_CONNECTION_STRING", "WEBHOOK_SECRETS", "FUNCTION_KEY")
URL_VARIABLES = ("TABLES_ENDPOINT", "LEDGER_URLS", "LEDGER_STREAM_URL", "FUNCTION_URL")
SHORTEST_SECRET = 8
"""Characters of a text that is looked for in a message: what is shorter may stand there by chance."""
CREDENTIALS = re.compile(r"(?<=//)[^/,\s]+@|[?#=][^,\s]+")
"""Where passwords and keys stand in a URL: before its host, after its path, and after an equals sign."""


def read_environment(data: bytes) -> dict[str, str] | None:
    """The environment in an input; None where it is none that an operating system could give."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        return None
    return None if any("\0" in value for value in found.values()) else found


def assert_no_secret(message: str, environment: Mapping[str, str]) -> None:
    """Fail when a message is no single line, or shows a part of a secret that stands in no other setting."""
    assert "\n" not in message
    assert "\r" not in message
    secrets = [part for name in SECRET_VARIABLES for part in _words(environment.get(name, ""))]
    urls = {name: environment.get(name, "") for name in URL_VARIABLES}
    secrets += [part for url in urls.values() for credential in CREDENTIALS.findall(url) for part in _words(credential)]
    public = [value for name, value in environment.items() if name not in (*SECRET_VARIABLES, *URL_VARIABLES)]
    public += [CREDENTIALS.sub("", url) for url in urls.values()]
    assert [one for one in secrets if one in message and not any(one in text for text in (*public, WORDS))] == []


WORDS = """
 ledger_events AccountName AccountKey TableEndpoint SharedAccessSignature https:// http:// whsec_ base64 found nothing
 characters that no key has allowed function comma-separated connection string storage account neither number
 TABLES_CONNECTION_STRING TABLES_ENDPOINT WEBHOOK_SECRETS FUNCTION_KEY ACCOUNT.table.core.windows.net
"""
"""Words of the messages themselves."""


def _words(value: str) -> list[str]:
    """The parts of a secret value."""
    return [word for word in re.split(r"[\s,;=&:?#@]+", value) if len(word) >= SHORTEST_SECRET]
