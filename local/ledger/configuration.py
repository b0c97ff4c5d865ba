"""Imports the BigchainDB server without the noise of its import, and gives it its configuration.

It must run before anything imports `bigchaindb.web`, whose modules bind the configuration when they are imported. It
knows one setting, the address at which the event stream is advertised; every other keeps the server's default.
"""

import warnings


def configure_server(host: str, stream_port: int) -> None:
    """Make the server advertise `ws://host:stream_port` as its event stream, whatever its environment says."""
    # The server (of 2020) imports pkg_resources, which has said since setuptools 80 that it will go. The project pins a
    # setuptools that has it, and the reader of a log can do nothing about it: this message alone is silenced.
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated as an API", category=UserWarning)
    # cryptoconditions compares strings with `is`; the compiler says so wherever there is no bytecode of it yet.
    warnings.filterwarnings("ignore", message="\"is\" with 'str' literal", category=SyntaxWarning)
    from bigchaindb import config_utils

    # set_config marks the server as configured: it reads neither ~/.bigchaindb nor BIGCHAINDB_* variables after this.
    config_utils.set_config(
        {"wsserver": {"host": host, "port": stream_port, "advertised_host": host, "advertised_port": stream_port}}
    )
