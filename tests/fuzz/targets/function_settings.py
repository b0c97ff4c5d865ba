"""The Function app's environment: refused with one line that shows no secret, or settings that can be used."""

import requests

from functions.records.record import open_record
from functions.settings import Settings, SettingsError, read_settings, signing_key
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
    open_record(settings)
    if settings.tables_endpoint:
        requests.Request("GET", settings.tables_endpoint).prepare()
    for secret in settings.webhook_secrets:
        assert 24 <= len(signing_key(secret.reveal())) <= 64
