"""What both HTTP clients of the relay need: a way to a server, for which the environment is asked for proxies and
authorities once, and answers of bounded size and time, whoever gives them. It knows neither nodes nor the Function."""

import http.client
import io
import os
import socket
import ssl
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH, default_headers, get_environ_proxies
from urllib3 import BaseHTTPResponse, HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from relay.errors import SettingsError
from relay.settings import found

CHUNK = 256 * 1024
CA_BUNDLE = "REQUESTS_CA_BUNDLE"
ENCODINGS = {"": "identity", "identity": "identity", "gzip": "gzip", "x-gzip": "gzip"}
"""What an answer may be encoded in (RFC 9110)."""
GZIP_ALONE = 16 + zlib.MAX_WBITS


class AnswerError(requests.RequestException):
    """An answer that cannot be taken; the message says why, and holds nothing that was sent or received."""


class TooLargeError(AnswerError):
    """An answer that has more bytes than are taken."""


class Server:
    """One server, to which several threads put many requests over connections that are kept. No redirect is followed,
    no cookie kept, and no password taken from ~/.netrc."""

    def __init__(self, url: str, connections: int, headers: Mapping[str, str] | None = None) -> None:
        """`headers` go with each request. Raises SettingsError, see `authorities`."""
        self._url = url
        self._headers = {**default_headers(), "Accept-Encoding": "gzip", **(headers or {})}
        self._proxies = get_environ_proxies(url, no_proxy=None)
        self._authorities = authorities()
        self._adapter = _Adapter(pool_connections=1, pool_maxsize=connections)

    def close(self) -> None:
        """Close the connections."""
        self._adapter.close()

    @contextmanager
    def ask(
        self,
        method: str,
        path: str,
        timeouts: tuple[float, float],
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Iterator[BaseHTTPResponse]:
        """Put a request; `path` follows the server's URL, and is sent as it is. The answer's body is not read yet.

        `timeouts` are for connecting and for each silence, in seconds. Raises requests.RequestException.
        """
        # A session of requests prepares each request anew (URL, proxies, authorities, cookies), which takes longer than
        # the request itself on a near network.
        request = requests.PreparedRequest()
        length = {} if body is None else {"Content-Length": str(len(body))}
        request.method, request.url, request.body = method, self._url + path, body
        request.headers = {**self._headers, **length, **(headers or {})}  # type: ignore[assignment]  # it is only read
        answer: Any = self._adapter.send(
            request, stream=True, timeout=timeouts, verify=self._authorities, proxies=self._proxies
        )
        try:
            yield answer
        finally:
            answer.close()
            answer.release_conn()


def authorities() -> str:
    """Path of the certificates by which servers are trusted: REQUESTS_CA_BUNDLE, or those that came with requests.

    Raises SettingsError when there is nothing at that path.
    """
    path = os.environ.get(CA_BUNDLE) or DEFAULT_CA_BUNDLE_PATH
    if not Path(path).exists():
        raise SettingsError(f"{CA_BUNDLE}: found {found(path)}, where nothing is; allowed is a file of certificates")
    return path


def read_bounded(answer: BaseHTTPResponse, most: int, seconds: float) -> bytes:
    """The body of an answer, decompressed.

    Raises requests.RequestException when it has more than `most` bytes, compressed or not, takes longer than `seconds`,
    or ends early; the connection is then not used again.
    """
    _deadline_of(answer).put_off(seconds)
    encoding = ENCODINGS.get(answer.headers.get("content-encoding", "").strip().lower())
    if encoding is None:
        answer.close()
        raise AnswerError("it is encoded in a way that was not asked for")
    unpacking = zlib.decompressobj(GZIP_ALONE) if encoding == "gzip" else None
    body = io.BytesIO()  # it gives its bytes away without a copy
    came = 0
    # urllib3 decompresses without a bound on what goes in while nothing comes out: so it is done here.
    while chunk := answer.read1(CHUNK, decode_content=False):
        came += len(chunk)
        body.write(_unpacked(unpacking, chunk, most + 1 - body.tell()) if unpacking else chunk)
        if max(came, body.tell()) > most:
            answer.close()
            raise TooLargeError(f"it has more than {most:,} bytes")
    if unpacking is not None and came and (unpacking.unused_data or not unpacking.eof):
        raise AnswerError("it is not one whole text, compressed")
    return body.getvalue()


def why(error: Exception) -> str:
    """Why there is no answer, in words that hold neither a URL nor a key."""
    if isinstance(error, AnswerError):
        return str(error)
    refused = refused_certificate(error)
    return type(error).__name__ if refused is None else f"its certificate is refused: {refused.verify_message}"


def refused_certificate(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    """What an error of requests goes back to, where that is a certificate which is not trusted."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error


def _unpacked(unpacking: "zlib._Decompress", chunk: bytes, most: int) -> bytes:
    try:
        return unpacking.decompress(chunk, most)
    except zlib.error as error:
        raise AnswerError("it cannot be decompressed") from error


# http.client bounds each line, and urllib3 each silence: a head, a chunk's length or a trailer that drips, or headers
# of "100 Continue" without end, would keep a thread for ever. So all that is read from a connection has a deadline.


class _Deadline(io.RawIOBase):
    """What comes through a socket until a moment in time; first that is as far away as the socket's own timeout."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        super().__init__()
        self._raw = raw
        self._sock = sock
        self._silence = sock.gettimeout() or 0.0
        self.put_off(self._silence)

    def put_off(self, seconds: float) -> None:
        """Let the moment be in so many seconds."""
        self._end = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer takes too long")
        self._sock.settimeout(min(left, self._silence))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *arguments: Any, **named: Any) -> None:
        super().__init__(sock, *arguments, **named)
        self.deadline = _Deadline(self.fp.detach(), sock)
        self.fp = io.BufferedReader(self.deadline)


def _deadline_of(answer: BaseHTTPResponse) -> _Deadline:
    original = cast("Any", answer)._original_response  # noqa: SLF001  no other way leads to our own object
    found: _Deadline = original.deadline
    return found


class _Connection(HTTPConnection):
    response_class = _Answer


class _TlsConnection(HTTPSConnection):
    response_class = _Answer


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    """Sends to one server: the way there is looked for once. It returns the answers of urllib3."""

    _way: Any = None

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        if self._way is None:
            way = super().get_connection_with_tls_context(request, verify, proxies, cert)
            super().cert_verify(way, request.url, verify, cert)  # type: ignore[no-untyped-call]
            self._way = way
        return self._way

    def cert_verify(self, *_: Any) -> None:
        """Nothing: it was done when the way was found."""

    def build_response(self, _: requests.PreparedRequest, answer: BaseHTTPResponse) -> Any:
        return answer

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        super().init_poolmanager(*arguments, **named)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *arguments: Any, **named: Any) -> Any:
        manager = super().proxy_manager_for(*arguments, **named)
        manager.pool_classes_by_scheme = _POOLS
        return manager


_POOLS = {"http": _Pool, "https": _TlsPool}
