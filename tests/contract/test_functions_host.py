"""The local Functions host against Microsoft's worker library: small apps, served in processes of their own."""

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from local import processes

FUNCTION_APP = """
import asyncio
import json
import logging
import os
import sys
import threading
from pathlib import Path

import azure.functions as func

from pages import blueprint

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
app.register_functions(blueprint)
print("printed while imported")


def as_json(document):
    return func.HttpResponse(json.dumps(document), mimetype="application/json")


@app.route(route="echo/{make}/{number:int?}", methods=["GET", "POST"])
def echo(req: func.HttpRequest) -> func.HttpResponse:
    return as_json({
        "method": req.method, "url": req.url, "headers": dict(req.headers), "query": dict(req.params),
        "route": dict(req.route_params), "body": list(req.get_body()),
    })


@app.route(route="bytes", methods=["POST"])
async def give_back(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(req.get_body(), mimetype="application/octet-stream")


@app.route(route="context")
def context(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    return as_json({
        "function": context.function_name, "invocation": context.invocation_id,
        "trace": context.trace_context.Traceparent, "thread": threading.current_thread() is threading.main_thread(),
    })


@app.route(route="loop")
async def loop(req: func.HttpRequest) -> func.HttpResponse:
    return as_json({"thread": threading.current_thread() is threading.main_thread()})


@app.route(route="guarded", auth_level=func.AuthLevel.FUNCTION)
def guarded(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("guarded")


@app.route(route="master", auth_level=func.AuthLevel.ADMIN)
def master(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("master")


@app.route(route="fails")
def fails(req: func.HttpRequest) -> func.HttpResponse:
    raise LookupError("no such lease")


@app.route(route="nothing")
def nothing(req: func.HttpRequest) -> func.HttpResponse:
    return None


@app.route(route="text")
def text(req: func.HttpRequest) -> str:
    return "caf\\u00e9"


@app.generic_trigger(arg_name="req", type="httpTrigger", route="silent", authLevel="anonymous")
def silent(req: func.HttpRequest) -> None:
    return None


@app.route(route="response")
def response(req: func.HttpRequest) -> func.HttpResponse:
    answer = func.HttpResponse("made", status_code=201, headers={"X-Car": "7", "x-frame-options": "SAMEORIGIN"})
    answer.headers.add("Set-Cookie", "a=1+2; Path=/; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:05 GMT")
    answer.headers.add("Set-Cookie", "b=2; Secure; HttpOnly; SameSite=Strict; Domain=x.example")
    return answer


@app.route(route="settings")
def settings(req: func.HttpRequest) -> func.HttpResponse:
    names = ["FROM_FILE", "FROM_BOTH", "LOCAL_FUNCTIONS_KEY", "LOCAL_FUNCTIONS_MASTER_KEY"]
    return as_json({"cwd": os.getcwd(), "path": sys.path, "values": {name: os.environ.get(name) for name in names}})


@app.route(route="speaks")
def speaks(req: func.HttpRequest) -> func.HttpResponse:
    print("printed by a function")
    logging.getLogger("premium").info("logged by a function")
    return func.HttpResponse()


@app.route(route="order/{which}")
def a_first(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("a_first")


@app.route(route="order/fixed")
def b_second(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("b_second")


@app.route(route="hold")
async def hold(req: func.HttpRequest) -> func.HttpResponse:
    folder = Path(os.environ["HOLD_FOLDER"])
    (folder / f"started-{req.params['call']}").touch()
    while not (folder / "released").exists():
        await asyncio.sleep(0.01)
    return func.HttpResponse("released")


@app.route(route="forever")
def forever(req: func.HttpRequest) -> func.HttpResponse:
    Path(os.environ["HOLD_FOLDER"], "forever").touch()
    threading.Event().wait(600)


@app.timer_trigger(schedule="0 0 * * * *", arg_name="timer")
def hourly(timer: func.TimerRequest) -> None:
    if Path(os.environ["HOLD_FOLDER"], "hourly-fails").exists():
        raise LookupError("no such hour")
    logging.getLogger("premium").info("an hour has passed, past due: %s", timer.past_due)


@app.route(route="queued")
@app.queue_output(arg_name="out", queue_name="claims", connection="X")
def queued(req: func.HttpRequest, out: func.Out[str]) -> func.HttpResponse:
    return func.HttpResponse()
"""

PAGES = """
import azure.functions as func

blueprint = func.Blueprint()


@blueprint.route(route="pages/{id}", methods=["GET"])
def page_read(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("read " + req.route_params["id"])


@blueprint.route(route="pages/{id}", methods=["PUT"])
def page_written(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("written " + req.route_params["id"])
"""

HOST_JSON: dict[str, Any] = {
    "version": "2.0",
    "logging": {"logLevel": {"default": "Information"}},
    "extensions": {
        "http": {
            "maxConcurrentRequests": 2,
            "maxOutstandingRequests": 4,
            "customHeaders": {"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY"},
            "dynamicThrottlesEnabled": False,
            "hsts": {"isEnabled": True},
        }
    },
}

KEY_VARIABLES = {"LOCAL_FUNCTIONS_KEY": "key-1,key-2", "LOCAL_FUNCTIONS_MASTER_KEY": "master-key"}
MASTER, HOST_KEY = {"x-functions-key": "master-key"}, {"x-functions-key": "key-1"}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Message
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Host:
    """A served app: where, by which process, and the folder through which `hold` and `forever` are steered."""

    child: processes.Child
    folder: Path
    hold_folder: Path

    @property
    def address(self) -> tuple[str, int]:
        return address_of(self.child.announced["http"])

    def ask(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = {}) -> Answer:
        with closing(http.client.HTTPConnection(*self.address, timeout=10)) as connection:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())

    def send(self, *lines: str, body: bytes = b"") -> socket.socket:
        """Send a request exactly as written and leave the answer to the caller."""
        connection = socket.create_connection(self.address, timeout=10)
        connection.sendall("".join(f"{line}\r\n" for line in [*lines, ""]).encode() + body)
        return connection


def address_of(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def read_all(connection: socket.socket) -> Answer:
    with closing(connection), closing(http.client.HTTPResponse(connection)) as response:
        response.begin()
        return Answer(response.status, response.headers, response.read())


def write_app(folder: Path, script: str = FUNCTION_APP, host_json: Mapping[str, Any] = HOST_JSON) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "function_app.py").write_text(script)
    (folder / "pages.py").write_text(PAGES)
    (folder / "host.json").write_text(json.dumps(host_json))
    return folder


def command(folder: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "local.functions_host", str(folder), *options]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    base = tmp_path_factory.mktemp("functions-host")
    folder = write_app(base / "app")
    hold_folder = base / "hold"
    hold_folder.mkdir()
    settings = base / "local.settings.json"
    settings.write_text(
        json.dumps(
            {
                "IsEncrypted": False,
                "Values": {"FROM_FILE": "file", "FROM_BOTH": "file"},
                "Host": {"LocalHttpPort": 7071},
            }
        )
    )
    env = {**KEY_VARIABLES, "FROM_BOTH": "environment", "HOLD_FOLDER": str(hold_folder)}
    argv = command(folder, "--settings", str(settings))
    with processes.running("functions host", argv, log=base / "host.log", env=env) as child:
        yield Host(child, folder, hold_folder)


def test_it_announces_where_and_which_functions_it_serves(host: Host) -> None:
    assert host.child.announced["http"].startswith("http://127.0.0.1:")
    served = "a_first b_second context echo fails forever give_back guarded hold loop master nothing"
    served += " page_read page_written response settings silent speaks text"
    assert host.child.announced["functions"] == ",".join(served.split())


def test_it_says_that_it_is_not_the_azure_functions_host(host: Host) -> None:
    assert host.child.log.read_text().count("NOT the Azure Functions host") == 1


def test_a_timer_runs_by_hand_with_the_master_key_alone(host: Host) -> None:
    assert "function hourly runs on POST /admin/functions/hourly alone" in host.child.log.read_text()

    refused = [host.ask("POST", "/admin/functions/hourly", headers=one).status for one in ({}, HOST_KEY)]
    assert refused == [401, 401]
    assert "an hour has passed" not in host.child.log.read_text()

    assert host.ask("POST", "/admin/functions/Hourly", b"{}", headers=MASTER).status == 202
    assert "an hour has passed, past due: False" in host.child.log.read_text()
    assert host.ask("GET", "/admin/functions/hourly", headers=MASTER).status == 404
    assert host.ask("POST", "/admin/functions/guarded", headers=MASTER).status == 404


def test_a_timer_that_raises_has_its_traceback_in_the_log(host: Host) -> None:
    (host.hold_folder / "hourly-fails").touch()
    try:
        assert host.ask("POST", "/admin/functions/hourly", headers=MASTER).status == 202
    finally:
        (host.hold_folder / "hourly-fails").unlink()
    log = host.child.log.read_text()
    assert "function hourly failed" in log
    assert "LookupError: no such hour" in log


def test_functions_that_are_not_http_alone_are_named_and_not_served(host: Host) -> None:
    log = host.child.log.read_text()
    assert "function queued is not served: bindings queue" in log
    assert host.ask("GET", "/api/queued").status == 404


def test_settings_without_effect_are_named_in_one_line_each_file(host: Host) -> None:
    log = host.child.log.read_text()
    assert "host.json: no effect here: logging, extensions.http.hsts\n" in log
    assert "local.settings.json: no effect here: Host\n" in log


def test_a_request_arrives_with_method_url_route_parameters_and_body(host: Host) -> None:
    seen = host.ask("POST", "/api/echo/caf%C3%A9%2Fvw/7?from=a%20b", b"\x00\xff{").document
    assert seen["method"] == "POST"
    assert seen["url"] == "http://{}:{}/api/echo/caf%C3%A9%2Fvw/7?from=a%20b".format(*host.address)
    assert seen["route"] == {"make": "café%2Fvw", "number": "7"}
    assert seen["query"] == {"from": "a b"}
    assert seen["body"] == [0, 255, ord("{")]


def test_header_names_arrive_in_lower_case_and_repeated_values_joined(host: Host) -> None:
    connection = host.send(
        "GET /api/echo/vw HTTP/1.1", "Host: x", "X-Lease: 1", "x-LEASE: 2", "X-Empty:", "Connection: close"
    )
    headers = read_all(connection).document["headers"]
    assert headers["x-lease"] == "1,2"
    assert headers["x-empty"] == ""
    assert all(name == name.lower() for name in headers)


def test_repeated_query_values_are_joined_by_commas_and_empty_ones_dropped(host: Host) -> None:
    seen = host.ask("GET", "/api/echo/vw?car=1&Car=2&car=&empty=&bare&plus=a+b").document
    assert seen["query"] == {"car": "1,2", "plus": "a b"}


def test_a_binary_body_comes_back_intact(host: Host) -> None:
    body = bytes(range(256)) * 4096
    answer = host.ask("POST", "/api/bytes", body, {"Content-Type": "text/plain; charset=utf-8"})
    assert answer.body == body
    assert answer.headers["content-type"] == "application/octet-stream"


def test_a_chunked_body_arrives_empty(host: Host) -> None:
    connection = host.send(
        "POST /api/echo/vw HTTP/1.1",
        "Host: x",
        "Transfer-Encoding: chunked",
        "Connection: close",
        body=b"5\r\nlease\r\n0\r\n\r\n",
    )
    answer = read_all(connection)
    assert answer.status == 200
    assert answer.document["body"] == []


def test_a_connection_goes_on_after_a_chunked_body_that_nobody_read(host: Host) -> None:
    with closing(http.client.HTTPConnection(*host.address, timeout=10)) as connection:
        connection.request("POST", "/api/fails", iter([b"lease"] * 9), encode_chunked=True)
        assert connection.getresponse().read() == b""
        connection.request("GET", "/api/text")
        assert connection.getresponse().read().decode() == "café"


def test_a_body_over_100_mb_is_refused_before_it_is_sent(host: Host) -> None:
    head = ["POST /api/bytes HTTP/1.1", "Host: x", "Connection: close"]
    answer = read_all(host.send(*head, f"Content-Length: {100 * 1024 * 1024 + 1}"))
    assert (answer.status, answer.body) == (413, b"")


def test_paths_are_matched_whatever_their_case(host: Host) -> None:
    assert host.ask("GET", "/API/Echo/VW").document["route"] == {"make": "VW"}


def test_a_value_that_breaks_its_constraint_is_a_404(host: Host) -> None:
    assert host.ask("GET", "/api/echo/vw/seven").status == 404


def test_a_wrong_method_is_a_404_with_no_body(host: Host) -> None:
    answer = host.ask("DELETE", "/api/echo/vw")
    assert (answer.status, answer.body) == (404, b"")


def test_a_path_outside_the_prefix_is_a_404(host: Host) -> None:
    assert host.ask("GET", "/echo/vw").status == 404


def test_the_first_function_in_name_order_takes_the_route(host: Host) -> None:
    assert host.ask("GET", "/api/order/fixed").body == b"a_first"


def test_two_functions_of_a_blueprint_share_a_route_by_method(host: Host) -> None:
    assert host.ask("GET", "/api/pages/7").body == b"read 7"
    assert host.ask("PUT", "/api/pages/7").body == b"written 7"


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/api/guarded", {}, 401),
        ("/api/guarded", {"x-functions-key": "wrong"}, 401),
        ("/api/guarded", {"x-functions-key": "key-1,key-2"}, 401),
        ("/api/guarded?code=wrong", {}, 401),
        ("/api/guarded", {"x-functions-key": "key-1"}, 200),
        ("/api/guarded", {"X-Functions-Key": "key-2"}, 200),
        ("/api/guarded?code=key-1", {}, 200),
        ("/api/guarded?Code=key-1", {}, 200),
        ("/api/guarded", {"x-functions-key": "master-key"}, 200),
        ("/api/guarded?code=key-1", {"x-functions-key": "wrong"}, 401),
        ("/api/guarded?code=key-1", {"x-functions-key": ""}, 401),
        ("/api/guarded?code=wrong", {"x-functions-key": "key-1"}, 200),
        ("/api/master", {"x-functions-key": "key-1"}, 401),
        ("/api/master", {"x-functions-key": "master-key"}, 200),
        ("/api/text", {"x-functions-key": "wrong"}, 200),
    ],
)
def test_keys_open_the_functions_of_their_level(host: Host, path: str, headers: dict[str, str], status: int) -> None:
    answer = host.ask("POST", path, b"claim", headers)
    assert answer.status == status
    assert (answer.body == b"") is (status == 401)


def test_an_exception_is_an_empty_500_and_its_traceback_is_logged_once(host: Host) -> None:
    before = host.child.log.read_text().count("LookupError: no such lease")
    answer = host.ask("GET", "/api/fails")
    assert (answer.status, answer.body) == (500, b"")
    log = host.child.log.read_text()
    assert log.count("LookupError: no such lease") == before + 1
    assert "function fails failed\nTraceback (most recent call last):" in log
    assert f'File "{host.folder / "function_app.py"}"' in log


def test_returning_none_for_a_response_is_an_empty_500(host: Host) -> None:
    answer = host.ask("GET", "/api/nothing")
    assert (answer.status, answer.body) == (500, b"")
    assert "function nothing failed\n" in host.child.log.read_text()


def test_a_function_without_a_response_among_its_bindings_answers_204(host: Host) -> None:
    answer = host.ask("GET", "/api/silent")
    assert (answer.status, answer.body) == (204, b"")
    assert "content-length" not in answer.headers


def test_a_returned_string_is_sent_as_text(host: Host) -> None:
    answer = host.ask("GET", "/api/text")
    assert answer.body.decode() == "café"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


def test_status_headers_and_cookies_of_a_response_are_sent(host: Host) -> None:
    answer = host.ask("GET", "/api/response")
    assert (answer.status, answer.body, answer.headers["x-car"]) == (201, b"made", "7")
    assert answer.headers.get_all("set-cookie") == [
        "a=1%2B2; expires=Thu, 01 Jan 1970 00:00:05 GMT; max-age=60; path=/",
        "b=2; domain=x.example; secure; samesite=strict; httponly",
    ]


def test_custom_headers_of_host_json_are_added_where_the_reply_has_none(host: Host) -> None:
    for path in ["/api/text", "/api/response", "/api/guarded", "/nowhere"]:
        assert host.ask("GET", path).headers["x-content-type-options"] == "nosniff"
    assert host.ask("GET", "/api/text").headers["x-frame-options"] == "DENY"
    assert host.ask("GET", "/api/response").headers.get_all("x-frame-options") == ["SAMEORIGIN"]


def test_a_head_request_is_answered_without_its_body(host: Host) -> None:
    answer = host.ask("HEAD", "/api/text")
    assert (answer.status, answer.headers["content-length"], answer.body) == (200, "5", b"")


def test_a_function_is_given_its_context(host: Host) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    first = host.ask("GET", "/api/context", headers={"traceparent": trace}).document
    second = host.ask("GET", "/api/context").document
    assert (first["function"], first["trace"], second["trace"]) == ("context", trace, "")
    assert first["invocation"] != second["invocation"]


def test_a_plain_function_runs_in_a_thread_and_a_coroutine_in_the_loop(host: Host) -> None:
    assert host.ask("GET", "/api/context").document["thread"] is False
    assert host.ask("GET", "/api/loop").document["thread"] is True


def test_app_settings_are_the_environment_completed_by_the_settings_file(host: Host) -> None:
    values = host.ask("GET", "/api/settings").document["values"]
    assert (values["FROM_FILE"], values["FROM_BOTH"]) == ("file", "environment")


def test_functions_do_not_find_the_keys_in_their_environment(host: Host) -> None:
    values = host.ask("GET", "/api/settings").document["values"]
    assert (values["LOCAL_FUNCTIONS_KEY"], values["LOCAL_FUNCTIONS_MASTER_KEY"]) == (None, None)


def test_the_app_runs_in_its_folder_and_imports_from_nowhere_else_of_the_project(host: Host) -> None:
    seen = host.ask("GET", "/api/settings").document
    assert seen["cwd"] == str(host.folder)
    assert seen["path"][0] == str(host.folder)
    assert str(processes.ROOT) not in seen["path"]


def test_requests_over_the_limit_get_429_and_the_others_wait_their_turn(host: Host) -> None:
    with ExitStack() as stack:
        calls = [
            stack.enter_context(
                closing(host.send(f"GET /api/hold?call={call} HTTP/1.1", "Host: x", "Connection: close"))
            )
            for call in range(6)
        ]
        answered = _wait_for_answers(calls, 2)
        refused = [read_all(call) for call in answered]
        assert [(answer.status, answer.body) for answer in refused] == [(429, b"")] * 2
        started = _wait_for_files(host.hold_folder, "started-*", 2)
        assert len(started) == 2  # the other two are held, and run only once there is room
        (host.hold_folder / "released").touch()
        held = [read_all(call) for call in calls if call not in answered]
    assert [(answer.status, answer.body) for answer in held] == [(200, b"released")] * 4
    assert len(_wait_for_files(host.hold_folder, "started-*", 4)) == 4


def _wait_for_answers(calls: list[socket.socket], count: int) -> list[socket.socket]:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        answered = select.select(calls, [], [], 0.05)[0]
        if len(answered) >= count:
            return answered
    pytest.fail(f"fewer than {count} calls were answered")


def _wait_for_files(folder: Path, pattern: str, count: int) -> list[Path]:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = list(folder.glob(pattern))
        if len(found) >= count:
            return found
        time.sleep(0.01)
    pytest.fail(f"fewer than {count} files {pattern}")


def test_nothing_is_logged_for_a_request_that_succeeds(host: Host) -> None:
    before = host.child.log.read_text()
    host.ask("GET", "/api/text")
    assert host.child.log.read_text() == before


def test_a_body_limit_in_the_app_settings_replaces_the_100_mb(tmp_path: Path) -> None:
    folder = write_app(tmp_path / "app")
    env = {"FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": "10", "HOLD_FOLDER": str(tmp_path)}
    with processes.running("functions host", command(folder), log=tmp_path / "host.log", env=env) as child:
        host = Host(child, folder, tmp_path)
        assert host.ask("POST", "/api/bytes", b"x" * 10).status == 200
        assert host.ask("POST", "/api/bytes", b"x" * 11).status == 413


def test_verbose_tells_of_every_request_but_not_of_the_keys_in_it(tmp_path: Path) -> None:
    argv = command(write_app(tmp_path / "app"), "--verbose")
    with processes.running("functions host", argv, log=tmp_path / "host.log", env=KEY_VARIABLES) as child:
        host = Host(child, tmp_path / "app", tmp_path)
        assert host.ask("GET", "/api/guarded?code=key-1").status == 200
        assert host.ask("GET", "/nowhere").status == 404
        log = child.log.read_text()
    assert "GET /api/guarded: 200" in log
    assert "GET /nowhere: 404" in log
    assert "key-1" not in log


def test_without_keys_it_says_so_and_guarded_functions_stay_shut(tmp_path: Path) -> None:
    folder = write_app(tmp_path / "app")
    with processes.running("functions host", command(folder), log=tmp_path / "host.log") as child:
        assert "LOCAL_FUNCTIONS_KEY is not set" in child.log.read_text()
        assert Host(child, folder, tmp_path).ask("GET", "/api/guarded", headers={"x-functions-key": ""}).status == 401


def test_sigint_ends_it_with_0_while_it_watches_its_parent(tmp_path: Path) -> None:
    argv = command(write_app(tmp_path / "app"), "--with-parent")
    with processes.running("functions host", argv, log=tmp_path / "host.log") as child:
        started = time.monotonic()
        assert child.stop(signal.SIGINT) == 0
        assert time.monotonic() - started < 2


def test_sigterm_ends_it_with_0_while_the_app_is_still_being_imported(tmp_path: Path) -> None:
    script = "import pathlib, time\npathlib.Path('importing').touch()\ntime.sleep(600)\n"
    folder = write_app(tmp_path / "app", script)
    child = processes.start("functions host", command(folder), log=tmp_path / "host.log")
    try:
        _wait_for_files(folder, "importing", 1)
        assert child.stop() == 0
        assert processes.READY not in child.log.read_text()
    finally:
        child.kill()


def test_sigterm_ends_it_with_0_soon_though_a_function_never_returns(tmp_path: Path) -> None:
    folder = write_app(tmp_path / "app")
    env = {**KEY_VARIABLES, "HOLD_FOLDER": str(tmp_path)}
    with processes.running("functions host", command(folder), log=tmp_path / "host.log", env=env) as child:
        host = Host(child, folder, tmp_path)
        call = host.send("GET /api/forever HTTP/1.1", "Host: x")
        _wait_for_files(tmp_path, "forever", 1)
        started = time.monotonic()
        assert child.stop() == 0
        assert time.monotonic() - started < 3  # 1.3 s on an idle machine
        assert read_all(call).status == 503
        assert "Traceback" not in child.log.read_text()


def test_it_goes_with_its_parent_and_keeps_its_standard_output_for_the_ready_line(tmp_path: Path) -> None:
    folder = write_app(tmp_path / "app")
    with subprocess.Popen(
        command(folder, "--with-parent"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=processes.ROOT,
        env={**os.environ, **KEY_VARIABLES},
        text=True,
    ) as popen:
        try:
            assert popen.stdin is not None
            assert popen.stdout is not None
            assert popen.stderr is not None
            ready = popen.stdout.readline()
            assert ready.startswith(processes.READY)
            with closing(
                http.client.HTTPConnection(*address_of(json.loads(ready.removeprefix(processes.READY))["http"]))
            ) as connection:
                connection.request("GET", "/api/speaks")
                assert connection.getresponse().status == 200
            popen.stdin.close()
            assert popen.wait(2) == 0
            assert popen.stdout.read() == ""
            errors = popen.stderr.read()
        finally:
            popen.kill()
    assert "printed while imported" in errors
    assert "printed by a function" in errors
    assert "INFO premium: logged by a function" in errors


def run_until_it_ends(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(folder, *options), capture_output=True, text=True, cwd=processes.ROOT, timeout=10, check=False
    )


ROUTE = "import azure.functions as func\napp = func.FunctionApp()\n"


@pytest.mark.parametrize(
    ("script", "faults"),
    [
        ("import nowhere_to_be_found\n", ["cannot be imported", "line 1, in <module>", "No module named 'nowhere_to"]),
        ("def f(:\n", ["cannot be imported", 'function_app.py", line 1', "SyntaxError"]),
        ("import webjob\n", ["cannot be imported", "No module named 'webjob'"]),
        ("x = 1\n", ["was refused: ValueError: Could not find top level function app"]),
        (ROUTE, ["defines no functions"]),
        (
            ROUTE + "@app.route()\ndef f(req: func.HttpRequest, lease) -> func.HttpResponse: ...\n",
            ["was refused: FunctionLoadError: cannot load the f function", "{'lease'}"],
        ),
        (
            ROUTE + "@app.route()\ndef f(req: func.HttpRequest) -> dict: ...\n",
            ["was refused: FunctionLoadError: cannot load the f function", '"dict"'],
        ),
        (
            ROUTE + "@app.route(route='/f')\ndef f(req: func.HttpRequest) -> func.HttpResponse: ...\n",
            ["function f: route 'api//f': '/' cannot appear twice in a row"],
        ),
    ],
)
def test_an_app_at_fault_ends_the_process_with_1_and_says_why(tmp_path: Path, script: str, faults: list[str]) -> None:
    ended = run_until_it_ends(write_app(tmp_path / "app", script))
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert all(fault in ended.stderr for fault in faults), ended.stderr
    assert ended.stderr.count("Traceback") <= 1


@pytest.mark.parametrize(
    ("host_json", "fault"),
    [
        ("{", "host.json is not JSON: "),
        ("[]", "host.json must hold a JSON object"),
        ('{"version": "1.0"}', 'host.json: "version" must be "2.0", not \'1.0\''),
        ('{"version": "2.0", "extensions": {"http": 1}}', 'host.json: "http" must be an object'),
        ('{"version": "2.0", "extensions": {"http": {"maxConcurrentRequests": 0}}}', '"maxConcurrentRequests" must be'),
        ('{"version": "2.0", "extensions": {"http": {"routePrefix": 1}}}', '"routePrefix" must be a string, not 1'),
    ],
)
def test_a_host_json_at_fault_ends_the_process_with_1_and_says_why(tmp_path: Path, host_json: str, fault: str) -> None:
    folder = write_app(tmp_path / "app")
    (folder / "host.json").write_text(host_json)
    ended = run_until_it_ends(folder)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert str(folder) in ended.stderr
    assert fault in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("missing", ["host.json", "function_app.py"])
def test_a_missing_file_ends_the_process_with_1_and_is_named(tmp_path: Path, missing: str) -> None:
    folder = write_app(tmp_path / "app")
    (folder / missing).unlink()
    ended = run_until_it_ends(folder)
    assert ended.returncode == 1
    assert str(folder / missing) in ended.stderr


def test_encrypted_settings_end_the_process_with_1(tmp_path: Path) -> None:
    settings = tmp_path / "local.settings.json"
    settings.write_text('{"IsEncrypted": true, "Values": {}}')
    ended = run_until_it_ends(write_app(tmp_path / "app"), "--settings", str(settings))
    assert ended.returncode == 1
    assert f"{settings} is encrypted" in ended.stderr


def test_a_port_that_is_taken_ends_the_process_with_1_and_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run_until_it_ends(write_app(tmp_path / "app"), "--port", str(port))
    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in ended.stderr
