"""The node: a mempool and a block clock that drive the server's own ABCI application in Tendermint's place.

It knows how Tendermint calls an application and answers a broadcast. What is valid the application decides; HTTP and
the event stream are elsewhere.
"""

import hashlib
import logging
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from abci import ABCI, TmVersion
from bigchaindb.common.transaction_mode_types import BROADCAST_TX_ASYNC, BROADCAST_TX_COMMIT
from bigchaindb.core import App
from bigchaindb.lib import BigchainDB

from local.ledger.storage import MemoryConnection

CHAIN_ID = "local-ledger"
# The one validator of the chain. It signs nothing, and nobody has the private key of these bytes.
VALIDATOR_KEY = b"\x01" * 32
VALIDATOR_POWER = 10
# Tendermint's defaults: `cache_size` of the mempool (transactions) and `timeout_broadcast_tx_commit` (seconds).
SEEN_SIZE = 10_000
COMMIT_TIMEOUT = 10.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BlockRules:
    """When a block closes."""

    block_time: float = 0.2  # seconds from a block's first transaction to its commit
    max_transactions: int = 1000
    proof_blocks: bool = True  # one empty block after each full one, as Tendermint makes to prove the new state


@dataclass(frozen=True, slots=True)
class Waiting:
    """A transaction in the mempool, and where the code of its delivery is to be put."""

    raw: bytes
    delivered: Future[int] = field(default_factory=Future)


class NodeBigchainDB(BigchainDB):  # type: ignore[misc]  # the server has no types
    """The server's ledger object, as the ABCI application uses it."""

    def store_bulk_transactions(self, transactions: Iterable[Any]) -> None:
        """Store the transactions of a block through the server's own code, from copies.

        The server takes asset and metadata out of the dictionaries it stores and writes an id into the asset. Those
        dictionaries belong to objects that `Transaction.from_dict` memoises for the whole process. A real node answers
        HTTP in other processes; here the HTTP threads share them, and one that is posting such a transaction once more
        at that moment would send it on without its asset. Nothing deeper than the asset is written to.
        """
        copies = []
        for transaction in transactions:
            document = transaction.tx_dict or transaction.to_dict()
            copy = {**document, "asset": dict(document["asset"])}
            copies.append(SimpleNamespace(CREATE=transaction.CREATE, tx_dict=copy))
        super().store_bulk_transactions(copies)


class Node:
    """One validator that always agrees with itself.

    `start` makes blocks in a thread of its own until `stop`. From that thread it calls `on_commit` with the server's
    event of each committed block and, should the application raise and the chain be unable to go on, `on_failure`.
    """

    def __init__(
        self,
        connection: MemoryConnection,
        rules: BlockRules,
        *,
        on_commit: Callable[[Any], None],
        on_failure: Callable[[], None],
    ) -> None:
        self._types = ABCI(TmVersion.v0_31_5).types  # the newer of the two Tendermint versions that 2.2.2 supports
        self._app = App(self._types, NodeBigchainDB(connection), events_queue=SimpleNamespace(put=on_commit))
        self._rules = rules
        self._on_failure = on_failure
        self._height = 0
        # As in Tendermint, the application gets one call at a time.
        self._app_lock = threading.Lock()
        self._mempool: queue.SimpleQueue[Waiting] = queue.SimpleQueue()
        self._seen = Seen(SEEN_SIZE)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="node")

    def start(self) -> None:
        """Initialise the chain and start the block clock."""
        key = self._types.PubKey(type="ed25519", data=VALIDATOR_KEY)
        validator = self._types.ValidatorUpdate(pub_key=key, power=VALIDATOR_POWER)
        self._app.init_chain(self._types.RequestInitChain(chain_id=CHAIN_ID, validators=[validator]))
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Make no further block; one in the making is dropped. Returns after `timeout` seconds at most."""
        self._stopping.set()
        self._mempool.put(Waiting(b""))  # wakes the thread, which then looks at the flag
        self._thread.join(timeout)

    def broadcast(self, mode: str, raw: bytes) -> dict[str, Any]:
        """Take a transaction into the mempool, as Tendermint's JSON-RPC methods `broadcast_tx_*` do.

        `mode` is the method's name and `raw` the transaction's JSON. Returns the response's `error` or `result`.
        The method `broadcast_tx_async` leaves the check to the delivery: the HTTP API has just made the same one.
        """
        key = hashlib.sha256(raw).digest()
        if not self._seen.add(key):
            return _rpc_error("Error on broadcast: Tx already exists in cache")
        if mode != BROADCAST_TX_ASYNC and (code := self._check(raw)):
            self._seen.discard(key)
            return {"result": {"code": code, "check_tx": {"code": code}}}
        waiting = Waiting(raw)
        self._mempool.put(waiting)
        if mode != BROADCAST_TX_COMMIT:
            return {"result": {"code": 0}}
        try:
            return {"result": {"check_tx": {}, "deliver_tx": {"code": waiting.delivered.result(COMMIT_TIMEOUT)}}}
        except TimeoutError:
            return _rpc_error("Timed out waiting for tx to be included in a block")

    def _check(self, raw: bytes) -> int:
        with self._app_lock:
            return int(self._app.check_tx(raw).code)

    def _run(self) -> None:
        try:
            while batch := self._next_batch():
                self._make_block(batch)
                if self._rules.proof_blocks and not self._stopping.is_set():
                    self._make_block([])
        except Exception:
            logger.exception("The application failed at height %d: no further block can be made", self._height)
            self._on_failure()

    def _next_batch(self) -> list[Waiting]:
        """The transactions of the next block, at least one, in the order of their arrival; none when stopping."""
        batch = [self._mempool.get()]
        if self._stopping.wait(self._rules.block_time):
            return []
        while len(batch) < self._rules.max_transactions and not self._mempool.empty():
            batch.append(self._mempool.get())
        return batch

    def _make_block(self, batch: Sequence[Waiting]) -> None:
        types, height = self._types, self._height + 1
        with self._app_lock:
            header = types.Header(height=height, num_txs=len(batch))
            self._app.begin_block(types.RequestBeginBlock(header=header))
        codes = []
        for waiting in batch:
            if self._stopping.is_set():
                return
            with self._app_lock:
                codes.append(int(self._app.deliver_tx(waiting.raw).code))
        with self._app_lock:
            self._app.end_block(types.RequestEndBlock(height=height))
            self._app.commit()
        self._height = height
        for waiting, code in zip(batch, codes, strict=True):
            if code:
                self._seen.discard(hashlib.sha256(waiting.raw).digest())
            waiting.delivered.set_result(code)


class Seen:
    """The mempool's memory of the last transactions it took; safe to use from several threads."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._keys: dict[bytes, None] = {}
        self._lock = threading.Lock()

    def add(self, key: bytes) -> bool:
        """Remember `key`, forgetting the oldest one when full; whether it was new."""
        with self._lock:
            if key in self._keys:
                return False
            if len(self._keys) == self._size:
                del self._keys[next(iter(self._keys))]
            self._keys[key] = None
            return True

    def discard(self, key: bytes) -> None:
        """Forget `key`, so that the transaction may be sent again."""
        with self._lock:
            self._keys.pop(key, None)


def _rpc_error(reason: str) -> dict[str, Any]:
    return {"error": {"code": -32603, "message": "Internal error", "data": reason}}
