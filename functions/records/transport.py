"""Sends what comes out of azure-core's pipeline with aiohttp, and reads each answer whole.

azure-core's AioHttpTransport does the same for more CPU: its answers can be streamed, and have the names of older
versions too. The errors are of the same kinds.
"""

from collections.abc import Mapping
from types import TracebackType
from typing import Any

import aiohttp
import msgspec
from azure.core.exceptions import (
    ServiceRequestError,
    ServiceRequestTimeoutError,
    ServiceResponseError,
    ServiceResponseTimeoutError,
)
from azure.core.pipeline.transport import AsyncHttpTransport, HttpRequest


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer. The names are those by which the pipeline's policies ask for its parts."""

    status_code: int
    reason: str | None
    headers: Mapping[str, str]
    content: bytes


class Transport(AsyncHttpTransport[HttpRequest, Answer]):
    """Connections that stay warm until it is closed; timeouts in seconds, for connecting and between two reads.

    The environment's proxy settings are not read.
    """

    def __init__(self, connect_timeout: float, read_timeout: float) -> None:
        self._timeout = aiohttp.ClientTimeout(sock_connect=connect_timeout, sock_read=read_timeout)
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the session, unless there is one."""
        self._opened()

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        """Close the connections."""
        await self.close()

    async def send(self, request: HttpRequest, **_options: Any) -> Answer:
        """The answer to a request, whatever its status; redirects are not followed.

        Raises ServiceRequestError when nothing was answered and ServiceResponseError when the answer is cut off or no
        HTTP, or their kinds for timeouts.
        """
        try:
            async with self._opened().request(
                request.method, request.url, headers=request.headers, data=request.data, allow_redirects=False
            ) as answer:
                return Answer(answer.status, answer.reason, answer.headers, await answer.read())
        except aiohttp.ConnectionTimeoutError as error:
            raise ServiceRequestTimeoutError(error, error=error) from error
        except TimeoutError as error:
            raise ServiceResponseTimeoutError(error, error=error) from error
        except (aiohttp.ClientResponseError, aiohttp.ClientPayloadError) as error:
            raise ServiceResponseError(error, error=error) from error
        except aiohttp.ClientError as error:
            raise ServiceRequestError(error, error=error) from error

    def _opened(self) -> aiohttp.ClientSession:
        """The session. It is made at first use, since it belongs to the event loop that runs then."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar())
        return self._session
