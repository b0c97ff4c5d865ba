"""A BigchainDB 2.2.2 for development, in one process and in memory: `python -m local.ledger`.

What validates, decides and speaks is the server's own code: transactions, ABCI application, HTTP API, event stream.
Written here is what stands in MongoDB's place (`storage`) and in Tendermint's (`consensus`), and what serves both
(`http_api`, `stream`, `serving`). Nothing in it knows about Leasehook.
"""
