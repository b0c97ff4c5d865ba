"""The request body that the Function app takes, for one transaction. It does not know who sends it."""

import json
import os
from dataclasses import dataclass, field
from typing import Any, Self

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Settings:
    """Where a peer reads and posts. The ledger's name is that of the Function app's setting LEDGER_NAME."""

    node_url: str
    stream_url: str
    function_url: str
    key: str = field(repr=False)
    ledger: str

    @classmethod
    def from_environment(cls) -> Self:
        """Raises KeyError that names what is missing."""
        names = ("NODE_URL", "STREAM_URL", "FUNCTION_URL", "FUNCTION_KEY", "LEDGER_NAME")
        return cls(*(os.environ[name] for name in names))

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a POST to the Function."""
        return {"content-type": "application/cloudevents-batch+json", "x-functions-key": self.key}

    def transaction_url(self, event: Json) -> str:
        """Where the node has the transaction that an event of its stream names."""
        return f"{self.node_url}/api/v1/transactions/{event['transaction_id']}"


def batch_of(transaction: Json, height: int, ledger: str) -> bytes:
    """A batch of one CloudEvent. The stream does not tell the transaction's place in its block: the first is named."""
    car = transaction["id"] if transaction["operation"] == "CREATE" else transaction["asset"]["id"]
    event = {
        "specversion": "1.0",
        "id": transaction["id"],
        "source": f"urn:bigchaindb:{ledger}",
        "type": "bigchaindb.transaction.committed",
        "subject": car,
        "partitionkey": car,
        "sequence": f"{height:012d}-000000",
        "datacontenttype": "application/json",
        "data": transaction,
    }
    return json.dumps([event]).encode()
