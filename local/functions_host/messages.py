"""The message shapes that azure-functions-runtime asks its host for, as plain records instead of protobuf.

The library takes a module of message classes (`protos`) and builds its answers from it; this module is that module.
Names, fields and numbers are those of the Functions RPC contract (Azure/azure-functions-language-worker-protobuf,
FunctionRpc.proto), as far as version 1.3.0 of the library reads or writes them. It knows nothing about what they mean.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar


class TypedData:
    """One value of one kind, or of none. Kinds used by the library: string, json, bytes, int, double, http.

    `TypedData(string="yes")` has the kind "string", and its value both as `.value` and, for the library, as `.string`.
    """

    def __init__(self, **kind_and_value: Any) -> None:
        if len(kind_and_value) > 1:
            raise ValueError(f"a TypedData holds one value, not {sorted(kind_and_value)}")
        self.kind: str | None = next(iter(kind_and_value), None)
        self.value: Any = next(iter(kind_and_value.values()), None)
        self.__dict__.update(kind_and_value)

    def WhichOneof(self, _group: str) -> str | None:  # noqa: N802 - protobuf's name
        """The kind of the value, as protobuf messages tell it."""
        return self.kind


@dataclass(frozen=True, slots=True)
class NullableString:
    """A string that may be absent."""

    value: str


@dataclass(frozen=True, slots=True)
class NullableBool:
    """A truth value that may be absent."""

    value: bool


@dataclass(frozen=True, slots=True)
class NullableDouble:
    """A number that may be absent."""

    value: float


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A moment, in whole seconds since 1970-01-01 UTC."""

    seconds: int


@dataclass(frozen=True, slots=True)
class NullableTimestamp:
    """A moment that may be absent."""

    value: Timestamp


@dataclass(frozen=True, slots=True)
class RpcHttpCookie:
    """One cookie of a response; `max_age` in seconds, `same_site` one of SameSite's numbers."""

    SameSite: ClassVar[SimpleNamespace] = SimpleNamespace(**{"None": 0, "Lax": 1, "Strict": 2, "ExplicitNone": 3})

    name: str
    value: str
    domain: NullableString | None = None
    path: NullableString | None = None
    expires: NullableTimestamp | None = None
    secure: NullableBool | None = None
    http_only: NullableBool | None = None
    same_site: int = 0
    max_age: NullableDouble | None = None


@dataclass(frozen=True, slots=True)
class RpcHttp:
    """An HTTP request (method to query) or response (headers, body, status_code as decimal text, cookies)."""

    method: str = ""
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: TypedData = field(default_factory=TypedData)
    params: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    status_code: str = ""
    cookies: Sequence[RpcHttpCookie] | None = None
    enable_content_negotiation: bool = False


@dataclass(frozen=True, slots=True)
class ParameterBinding:
    """The value of one parameter of a function."""

    name: str
    data: TypedData | None

    def WhichOneof(self, _group: str) -> str:  # noqa: N802 - protobuf's name
        """Always "data": no host offers shared memory to this library any more."""
        return "data"


@dataclass(frozen=True, slots=True)
class RpcException:
    """An exception of a function or of indexing, as text."""

    message: str = ""
    stack_trace: str = ""


@dataclass(frozen=True, slots=True)
class StatusResult:
    """Whether what was asked for succeeded, and the exception if not."""

    Failure: ClassVar[int] = 0
    Success: ClassVar[int] = 1
    Cancelled: ClassVar[int] = 2

    status: int
    exception: RpcException = field(default_factory=RpcException)


@dataclass(frozen=True, slots=True)
class WorkerMetadata:
    """What the worker says about itself."""

    runtime_name: str
    runtime_version: str
    worker_version: str
    worker_bitness: str
    custom_properties: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class WorkerInitRequest:
    """Asks the worker to index the app in `function_app_directory`."""

    capabilities: Mapping[str, str]
    function_app_directory: str


@dataclass(frozen=True, slots=True)
class WorkerInitResponse:
    """What the worker can do, and whether the app was indexed."""

    capabilities: Mapping[str, str]
    worker_metadata: WorkerMetadata
    result: StatusResult


@dataclass(frozen=True, slots=True)
class BindingInfo:
    """One binding of a function: its type, and its direction as one of the numbers below."""

    out: ClassVar[int] = 1
    inout: ClassVar[int] = 2
    undefined: ClassVar[int] = 0  # a data type, not a direction: the contract nests both enumerations here

    type: str
    data_type: int | None
    direction: int


@dataclass(frozen=True, slots=True)
class RpcRetryOptions:
    """The retry policy of a function. Only triggers that this host does not serve have one."""

    max_retry_count: int
    retry_strategy: str
    delay_interval: Any = None
    minimum_interval: Any = None
    maximum_interval: Any = None


@dataclass(frozen=True, slots=True)
class RpcFunctionMetadata:
    """One indexed function; each of `raw_bindings` is a binding as the JSON of function.json."""

    name: str
    function_id: str
    managed_dependency_enabled: bool
    directory: str
    script_file: str
    entry_point: str
    is_proxy: bool
    language: str
    bindings: Mapping[str, BindingInfo]
    raw_bindings: Sequence[str]
    retry_options: RpcRetryOptions | None
    properties: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FunctionMetadataResponse:
    """The functions that were indexed; None when there are none."""

    use_default_metadata_indexing: bool
    function_metadata_results: Sequence[RpcFunctionMetadata] | None
    result: StatusResult


@dataclass(frozen=True, slots=True)
class RpcTraceContext:
    """The caller's W3C trace headers, empty when there were none."""

    trace_parent: str = ""
    trace_state: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RetryContext:
    """Which attempt this is: of an HTTP trigger always the first."""

    retry_count: int = 0
    max_retry_count: int = 0
    exception: RpcException | None = None


@dataclass(frozen=True, slots=True)
class InvocationRequest:
    """Asks the worker to run one function once."""

    invocation_id: str
    function_id: str
    input_data: Sequence[ParameterBinding]
    trace_context: RpcTraceContext
    retry_context: RetryContext = field(default_factory=RetryContext)
    trigger_metadata: Mapping[str, TypedData] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InvocationResponse:
    """What a function returned, or the exception it raised."""

    invocation_id: str
    result: StatusResult
    return_value: TypedData | None = None
    output_data: Sequence[ParameterBinding] = ()


@dataclass(frozen=True, slots=True)
class StreamingMessage:
    """The envelope of the contract: exactly one of its fields is set."""

    worker_init_request: WorkerInitRequest | None = None
    invocation_request: InvocationRequest | None = None


@dataclass(frozen=True, slots=True)
class WorkerRequest:
    """What the library's entry points take: a message, and what only the process that hosts it knows."""

    request: StreamingMessage
    properties: Mapping[str, Any] = field(default_factory=dict)
