"""The relay's environment: refused with one line that shows no secret, or settings that what they are for can use."""

import requests
from websocket._url import parse_url

from relay.errors import SettingsError
from relay.settings import Settings, read_settings
from relay.tables import open_service
from tests.fuzz.environments import assert_no_secret, read_environment


def check(data: bytes) -> None:
    """Hold the reading of an environment to its promise."""
    environment = read_environment(data)
    if environment is None:
        return
    try:
        settings = read_settings(environment)
        _check_usable(settings)
    except SettingsError as error:
        assert_no_secret(str(error), environment)
        return
    assert_no_secret(repr(settings), environment)


def _check_usable(settings: Settings) -> None:
    """Take every setting to the library that gets it in the end, up to the network."""
    key = {"x-functions-key": settings.function_key.reveal()}
    for url in (*settings.ledger_urls, settings.function_url):
        requests.Request("GET", url, headers=key).prepare()
    if settings.stream_url:
        parse_url(settings.stream_url)
    if settings.tables.endpoint:
        requests.Request("GET", settings.tables.endpoint).prepare()
    else:
        open_service(settings.tables).close()
    for secret in settings.webhook_secrets:
        assert 24 <= len(secret.decoded()) <= 64
