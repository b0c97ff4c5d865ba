"""What both HTTP clients of the relay need: a session that asks the environment for proxies once, and answers of
bounded size and time. It knows neither nodes nor the Function."""

import time

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies

CHUNK = 256 * 1024


def prepare(session: requests.Session, url: str, connections: int) -> None:
    """Make `session` fit for many requests to `url`, from up to `connections` threads at once.

    By default requests looks through the environment for proxies and passwords at every request, which takes longer
    than the request itself on a near network. Proxies are looked up once; a password in ~/.netrc is not used.
    """
    session.proxies.update(get_environ_proxies(url, no_proxy=None))
    session.trust_env = False
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_connections=1, pool_maxsize=connections))


def read_bounded(answer: requests.Response, most: int, seconds: float) -> bytes:
    """The body of an answer that was asked for with stream=True, decompressed.

    Raises requests.RequestException when it has more than `most` bytes, takes longer than `seconds`, or ends early; the
    connection is then not used again.
    """
    deadline = time.monotonic() + seconds
    chunks: list[bytes] = []
    size = 0
    # read1 returns with what has come, so that the deadline is looked at in time.
    while chunk := answer.raw.read1(CHUNK, decode_content=True):
        size += len(chunk)
        if size > most:
            answer.close()
            raise requests.exceptions.ContentDecodingError(f"an answer of more than {most} bytes")
        if time.monotonic() > deadline:
            answer.close()
            raise requests.exceptions.ReadTimeout(f"an answer that takes longer than {seconds:g} s")
        chunks.append(chunk)
    return b"".join(chunks)
