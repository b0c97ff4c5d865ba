"""The local ledger, run as a process of its own and seen from outside: HTTP API, event stream, command line.

What the server's code decides is not tested for its own sake, only as evidence that it is that code which decides.
"""

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import websocket
from bigchaindb_driver.crypto import CryptoKeypair, generate_keypair
from bigchaindb_driver.offchain import fulfill_transaction, prepare_transaction

from local.processes import ROOT, Child, running

type Transaction = dict[str, Any]

COMMAND = [sys.executable, "-m", "local.ledger"]
QUICK = ["--block-time", "0.02"]
# Seconds that an event gets to arrive, and seconds without one after which none is coming. One takes milliseconds.
PATIENCE = 5.0
SILENCE = 1.0


@dataclass(frozen=True)
class Ledger:
    """A running ledger and how a test speaks to it."""

    child: Child

    @property
    def stream_url(self) -> str:
        return str(self.child.announced["stream"])

    def get(self, path: str) -> requests.Response:
        return requests.get(f"{self.child.announced['http']}/api/v1/{path}", timeout=10)

    def post(self, transaction: Transaction, mode: str = "commit") -> requests.Response:
        return requests.post(
            f"{self.child.announced['http']}/api/v1/transactions", params={"mode": mode}, json=transaction, timeout=15
        )

    def commit(self, transaction: Transaction) -> Transaction:
        """Post a transaction that must be accepted; it is in a block when this returns."""
        answer = self.post(transaction)
        assert answer.status_code == 202, answer.text
        return transaction

    def height_of(self, transaction: Transaction) -> int:
        [height] = self.get(f"blocks?transaction_id={transaction['id']}").json()
        return int(height)

    def subscribe(self) -> websocket.WebSocket:
        return websocket.create_connection(self.stream_url, timeout=PATIENCE)


@contextmanager
def run_ledger(directory: Path, *arguments: str) -> Iterator[Ledger]:
    with running("ledger", [*COMMAND, "--with-parent", *arguments], log=directory / "ledger.log") as child:
        yield Ledger(child)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    with run_ledger(tmp_path_factory.mktemp("ledger"), *QUICK) as ledger:
        yield ledger


@pytest.fixture
def lessor() -> CryptoKeypair:
    return generate_keypair()


@pytest.fixture
def driver() -> CryptoKeypair:
    return generate_keypair()


def create(owner: CryptoKeypair, name: str = "a car") -> Transaction:
    asset = {"data": {"name": name, "serial": os.urandom(8).hex()}}
    return sign(owner, operation="CREATE", signers=owner.public_key, asset=asset, metadata={"odometer_km": 0})


def transfer(owner: CryptoKeypair, to: CryptoKeypair, spent: Transaction, *, output_index: int = 0) -> Transaction:
    output = spent["outputs"][0]
    return sign(
        owner,
        operation="TRANSFER",
        asset={"id": spent["asset"].get("id", spent["id"])},
        inputs={
            "fulfillment": output["condition"]["details"],
            "fulfills": {"output_index": output_index, "transaction_id": spent["id"]},
            "owners_before": output["public_keys"],
        },
        recipients=to.public_key,
        metadata={"odometer_km": 1200},
    )


def sign(owner: CryptoKeypair, **content: Any) -> Transaction:
    signed: Transaction = fulfill_transaction(prepare_transaction(**content), private_keys=owner.private_key)
    return signed


def eventually[T](look: Callable[[], T], accept: Callable[[T], bool], timeout: float = 5.0) -> T:
    """What `look` returns once `accept` is true of it, or at last."""
    deadline = time.monotonic() + timeout
    while not accept(seen := look()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return seen


# --- what is committed, and how it is read --------------------------------------------------------------------------


def test_a_created_transaction_is_in_a_block_as_it_was_posted_and_on_the_stream(
    ledger: Ledger, lessor: CryptoKeypair
) -> None:
    with closing(ledger.subscribe()) as subscriber:
        created = ledger.commit(create(lessor))
        height = ledger.height_of(created)

        assert ledger.get(f"blocks/{height}").json() == {"height": height, "transactions": [created]}
        assert ledger.get(f"transactions/{created['id']}").json() == created
        assert subscriber.recv() == (
            f'{{"height": {height}, "asset_id": "{created["id"]}", "transaction_id": "{created["id"]}"}}'
        )


def test_a_transfer_names_its_asset_on_the_stream(ledger: Ledger, lessor: CryptoKeypair, driver: CryptoKeypair) -> None:
    created = ledger.commit(create(lessor))
    with closing(ledger.subscribe()) as subscriber:
        leased = ledger.commit(transfer(lessor, driver, created))

        assert f'"asset_id": "{created["id"]}", "transaction_id": "{leased["id"]}"' in subscriber.recv()


def test_an_asset_is_read_as_its_whole_chain_of_transactions(
    ledger: Ledger, lessor: CryptoKeypair, driver: CryptoKeypair
) -> None:
    created = ledger.commit(create(lessor))
    leased = ledger.commit(transfer(lessor, driver, created))

    assert ledger.get(f"transactions?asset_id={created['id']}").json() == [created, leased]
    assert ledger.get(f"transactions?asset_id={created['id']}&operation=TRANSFER").json() == [leased]
    assert ledger.get(f"transactions?asset_id={created['id']}&last_tx=true").json() == [leased]


def test_outputs_of_a_key_are_told_apart_by_whether_they_are_spent(
    ledger: Ledger, lessor: CryptoKeypair, driver: CryptoKeypair
) -> None:
    leased, kept = ledger.commit(create(lessor)), ledger.commit(create(lessor))
    ledger.commit(transfer(lessor, driver, leased))
    outputs = {name: {"transaction_id": t["id"], "output_index": 0} for name, t in [("leased", leased), ("kept", kept)]}

    key = lessor.public_key
    assert ledger.get(f"outputs?public_key={key}").json() == [outputs["leased"], outputs["kept"]]
    assert ledger.get(f"outputs?public_key={key}&spent=true").json() == [outputs["leased"]]
    assert ledger.get(f"outputs?public_key={key}&spent=false").json() == [outputs["kept"]]


def test_assets_and_metadata_are_found_by_a_word(ledger: Ledger, lessor: CryptoKeypair) -> None:
    created = ledger.commit(create(lessor, name="Trabant 601"))

    assert ledger.get("assets?search=trabant").json() == [{**created["asset"], "id": created["id"]}]
    assert ledger.get("metadata?search=trabant").json() == []


def test_heights_start_at_one_and_an_empty_block_follows_a_full_one(tmp_path: Path, lessor: CryptoKeypair) -> None:
    with run_ledger(tmp_path, *QUICK) as ledger:
        assert ledger.get("blocks/1").status_code == 404

        first = ledger.commit(create(lessor))
        assert ledger.height_of(first) == 1
        empty = eventually(lambda: ledger.get("blocks/2"), lambda answer: answer.status_code == 200)
        assert empty.json() == {"height": 2, "transactions": []}
        assert ledger.height_of(ledger.commit(create(lessor))) == 3


def test_no_empty_block_follows_without_proof_blocks(tmp_path: Path, lessor: CryptoKeypair) -> None:
    with run_ledger(tmp_path, *QUICK, "--no-proof-blocks") as ledger:
        assert [ledger.height_of(ledger.commit(create(lessor))) for _ in range(2)] == [1, 2]


def test_transactions_of_one_block_come_in_id_order_and_no_more_than_the_maximum(
    tmp_path: Path, lessor: CryptoKeypair
) -> None:
    from_last_to_first = sorted((create(lessor) for _ in range(5)), key=lambda t: str(t["id"]), reverse=True)
    with run_ledger(tmp_path, "--block-time", "0.5", "--max-transactions", "4", "--no-proof-blocks") as ledger:
        for transaction in from_last_to_first:
            ledger.post(transaction, mode="async")
        eventually(lambda: ledger.get("blocks/2").status_code, lambda status: status == 200)

        assert ledger.get("blocks/1").json()["transactions"] == from_last_to_first[:4][::-1]
        assert ledger.get("blocks/2").json()["transactions"] == from_last_to_first[4:]


# --- what is refused ------------------------------------------------------------------------------------------------


def test_a_double_spend_is_refused(ledger: Ledger, lessor: CryptoKeypair, driver: CryptoKeypair) -> None:
    created = ledger.commit(create(lessor))
    ledger.commit(transfer(lessor, driver, created))

    refused = ledger.post(transfer(lessor, lessor, created))

    assert refused.status_code == 400
    assert "(DoubleSpend)" in refused.json()["message"]


def test_of_two_spends_that_were_both_accepted_only_the_first_is_ever_in_a_block(
    tmp_path: Path, lessor: CryptoKeypair, driver: CryptoKeypair
) -> None:
    with run_ledger(tmp_path, "--block-time", "0.5") as ledger:
        created = ledger.commit(create(lessor))
        first, second = (transfer(lessor, to, created) for to in (driver, lessor))

        assert [ledger.post(spend, mode="async").status_code for spend in (first, second)] == [202, 202]
        ledger.commit(create(lessor))  # posted after them, so they have had their turn
        assert ledger.height_of(first)
        assert ledger.get(f"blocks?transaction_id={second['id']}").json() == []


def test_a_committed_transaction_is_refused_a_second_time(ledger: Ledger, lessor: CryptoKeypair) -> None:
    created = ledger.commit(create(lessor))

    refused = ledger.post(created)

    assert refused.status_code == 400
    assert "(DuplicateTransaction)" in refused.json()["message"]


def test_a_transaction_that_waits_for_its_block_is_refused_a_second_time(tmp_path: Path, lessor: CryptoKeypair) -> None:
    with run_ledger(tmp_path, "--block-time", "30") as ledger:
        waiting = create(lessor)
        assert ledger.post(waiting, mode="async").status_code == 202

        refused = ledger.post(waiting, mode="async")

        assert refused.status_code == 400
        assert "Tx already exists in cache" in refused.json()["message"]


def test_a_transaction_changed_after_signing_is_refused(ledger: Ledger, lessor: CryptoKeypair) -> None:
    refused = ledger.post({**create(lessor), "metadata": {"odometer_km": 1}})

    assert refused.status_code == 400
    assert "(InvalidHash)" in refused.json()["message"]


def test_it_answers_on_after_an_error_inside_the_server(
    ledger: Ledger, lessor: CryptoKeypair, driver: CryptoKeypair
) -> None:
    created = ledger.commit(create(lessor))

    assert ledger.post(transfer(lessor, driver, created, output_index=5)).status_code == 500
    assert ledger.get(f"transactions/{created['id']}").json() == created


def test_a_block_above_the_tip_is_a_json_404(ledger: Ledger) -> None:
    answer = ledger.get("blocks/1000000")

    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")
    assert answer.json() == {"message": "Not found", "status": 404}


def test_an_unknown_path_is_an_html_404(ledger: Ledger) -> None:
    answer = ledger.get("blocks/latest")

    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")


# --- one bad subscriber ---------------------------------------------------------------------------------------------

# aiohttp waits for a subscriber's socket once in this many bytes that it has written to it (its DEFAULT_CHUNK_SIZE).
BYTES_BETWEEN_WAITS = 262_144
PING = b"\x89\xfd" + bytes(4) + bytes(125)  # final ping frame, masked with zeros, of 125 bytes: the most it may have
PONG_SIZE = 2 + 125
# With that many pongs already written to a subscriber, the server waits for it within so many events.
EVENTS_TO_STALL = 10
TRIES_TO_STALL = 8
SETTLING = 0.25


def subscribe_and_never_read(ledger: Ledger) -> socket.socket:
    """A subscriber with the smallest buffers, to which the server has written what fits and as much as it will hold.

    Pings fill the connection with pongs, which takes a moment; 18,000 events would do the same.
    """
    url = urlsplit(ledger.stream_url)
    subscriber = socket.socket()
    subscriber.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    # Small segments keep small what the kernel buffers on the server's side.
    subscriber.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    subscriber.connect((url.hostname, url.port))
    subscriber.sendall(
        f"GET {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += subscriber.recv(1)
    assert answer.startswith(b"HTTP/1.1 101")
    subscriber.sendall(PING * (BYTES_BETWEEN_WAITS // PONG_SIZE))
    return subscriber


def stall(ledger: Ledger, lessor: CryptoKeypair, witness: websocket.WebSocket, stack: ExitStack) -> socket.socket:
    """A subscriber on whom the publisher waits, so that one who reads misses an event.

    Only what the publisher writes may reach the limit: while pongs are still written, one of them may, and then it is
    the answering of pings that waits. So the pongs get time, more at each try, and each try a connection of its own.
    """
    for attempt in range(1, TRIES_TO_STALL + 1):
        stuck = stack.enter_context(closing(subscribe_and_never_read(ledger)))
        time.sleep(attempt * SETTLING)
        transactions = (ledger.commit(create(lessor)) for _ in range(4 * EVENTS_TO_STALL))
        if not all(gets_the_event_of(transaction, witness, SILENCE) for transaction in transactions):
            return stuck
        stuck.close()
    raise AssertionError(f"the stream went on beside {TRIES_TO_STALL} subscribers who do not read")


def reset(subscriber: socket.socket) -> None:
    """End the connection as the crash of a peer does: without a word, unread bytes and all."""
    subscriber.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    subscriber.close()


def read_on(subscriber: socket.socket) -> str:
    """Read until nothing more comes; whether the connection is then `open` or `closed`."""
    subscriber.settimeout(0.3)
    try:
        while subscriber.recv(65_536):
            pass
    except TimeoutError:
        return "open"
    return "closed"


def gets_the_event_of(transaction: Transaction, subscriber: websocket.WebSocket, within: float = PATIENCE) -> bool:
    """Whether the next event is that of `transaction`; False when none comes within that many seconds."""
    subscriber.settimeout(within)
    try:
        return transaction["id"] in subscriber.recv()
    except websocket.WebSocketTimeoutException:
        return False


def gets_a_pong(subscriber: websocket.WebSocket) -> bool:
    subscriber.ping()
    opcode, _ = subscriber.recv_data(control_frame=True)
    return bool(opcode == websocket.ABNF.OPCODE_PONG)


def test_a_subscriber_that_stops_reading_and_is_reset_harms_nobody(ledger: Ledger, lessor: CryptoKeypair) -> None:
    with ExitStack() as stack:
        witness = stack.enter_context(closing(ledger.subscribe()))
        stuck = stack.enter_context(closing(subscribe_and_never_read(ledger)))
        for _ in range(2 * EVENTS_TO_STALL):
            assert gets_the_event_of(ledger.commit(create(lessor)), witness)

        newcomer = stack.enter_context(closing(ledger.subscribe()))
        during = ledger.commit(create(lessor))
        assert gets_the_event_of(during, witness)
        assert gets_the_event_of(during, newcomer)

        reset(stuck)
        after = ledger.commit(create(lessor))
        assert gets_the_event_of(after, witness)
        assert gets_the_event_of(after, newcomer)


def test_a_subscriber_too_far_behind_is_dropped_alone(tmp_path: Path, lessor: CryptoKeypair) -> None:
    few = (
        "from local.ledger.configuration import configure_server; configure_server('', 0);"
        "from local.ledger import stream; stream.MAX_BEHIND = 3;"
        "from local.ledger.__main__ import main; main()"
    )
    with ExitStack() as stack:
        argv = [sys.executable, "-c", few, *QUICK]
        ledger = Ledger(stack.enter_context(running("ledger", argv, log=tmp_path / "ledger.log")))
        witness = stack.enter_context(closing(ledger.subscribe()))
        stuck = stack.enter_context(closing(subscribe_and_never_read(ledger)))
        for _ in range(2 * EVENTS_TO_STALL):
            assert gets_the_event_of(ledger.commit(create(lessor)), witness)

        assert ledger.child.log_tail(lines=100).count("A subscriber is 3 events behind: dropped") == 1
        assert read_on(stuck) == "closed"


@pytest.mark.parametrize("fault", ["the stuck subscriber is reset", "another joins before it reads on"])
def test_with_stream_bugs_one_bad_subscriber_silences_the_stream_for_all_while_pings_are_answered(
    tmp_path: Path, lessor: CryptoKeypair, fault: str
) -> None:
    with ExitStack() as stack:
        ledger = stack.enter_context(run_ledger(tmp_path, *QUICK, "--stream-bugs"))
        witness = stack.enter_context(closing(ledger.subscribe()))
        # The publisher waits on the stuck subscriber ...
        stuck = stall(ledger, lessor, witness, stack)
        # ... and does not survive what ends the wait.
        if fault == "the stuck subscriber is reset":
            reset(stuck)
        else:
            stack.enter_context(closing(ledger.subscribe()))
            assert read_on(stuck) == "open"
        newcomer = stack.enter_context(closing(ledger.subscribe()))
        unheard = ledger.commit(create(lessor))

        assert ledger.height_of(unheard)
        assert gets_a_pong(newcomer)
        assert not gets_the_event_of(unheard, newcomer, SILENCE)
        assert "The event publisher has ended" in ledger.child.log_tail(lines=100)


# --- the process ----------------------------------------------------------------------------------------------------


def test_the_stream_it_advertises_is_the_true_one(ledger: Ledger) -> None:
    advertised = ledger.get("").json()["streams"]

    assert advertised == ledger.stream_url
    with closing(websocket.create_connection(advertised, timeout=PATIENCE)) as subscriber:
        assert gets_a_pong(subscriber)


def test_it_says_loudly_what_it_is_and_nothing_else(tmp_path: Path) -> None:
    with run_ledger(tmp_path) as ledger:
        lines = ledger.child.log.read_text(encoding="utf-8").splitlines()

    assert "DEVELOPMENT LEDGER WITHOUT CONSENSUS" in lines[1]
    assert "no Tendermint, no MongoDB" in lines[2]
    assert [line for line in lines if not line.startswith(("*", "ready "))] == []


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_at_once_when_told_to_even_with_subscribers_and_a_block_in_the_making(
    tmp_path: Path, lessor: CryptoKeypair, sign: signal.Signals
) -> None:
    with ExitStack() as stack:
        ledger = stack.enter_context(run_ledger(tmp_path, "--block-time", "30"))
        ledger.subscribe().close()  # one that has left in good order
        stack.enter_context(closing(ledger.subscribe()))
        stack.enter_context(closing(subscribe_and_never_read(ledger)))
        ledger.post(create(lessor), mode="async")
        told = time.monotonic()

        assert ledger.child.stop(sign) == 0
        assert time.monotonic() - told < 2
        assert "Traceback" not in ledger.child.log_tail(lines=100)


@pytest.mark.parametrize(("arguments", "exit_code"), [(["--with-parent"], 0), ([], None)])
def test_end_of_standard_input_stops_it_only_when_it_has_a_parent(
    tmp_path: Path, arguments: list[str], exit_code: int | None
) -> None:
    with running("ledger", [*COMMAND, *arguments], log=tmp_path / "ledger.log") as child:
        assert child._popen.stdin is not None
        child._popen.stdin.close()

        seen = eventually(lambda: child.exit_code, lambda code: code is not None, timeout=1.0)
        assert seen == exit_code
        if exit_code is None:
            assert Ledger(child).get("").ok


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("--port", "65536"),
        ("--stream-port", "-1"),
        ("--block-time", "nan"),
        ("--max-transactions", "0"),
        ("--host", "no such host"),
    ],
)
def test_a_wrong_argument_is_refused_by_name(argument: str, value: str) -> None:
    refused = subprocess.run(
        [*COMMAND, f"{argument}={value}"], cwd=ROOT, capture_output=True, text=True, timeout=10, check=False
    )

    assert refused.returncode == 2
    assert f"error: argument {argument}: " in refused.stderr


def test_a_port_in_use_is_refused_by_name(ledger: Ledger) -> None:
    port = urlsplit(ledger.stream_url).port
    refused = subprocess.run(
        [*COMMAND, f"--stream-port={port}"], cwd=ROOT, capture_output=True, text=True, timeout=10, check=False
    )

    assert refused.returncode == 2
    assert f"error: argument --stream-port: cannot listen on 127.0.0.1:{port}: Address already in use" in refused.stderr
