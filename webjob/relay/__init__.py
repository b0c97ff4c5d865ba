"""The relay: holds a BigchainDB node's event stream and forwards every car's transactions to the insurer's Function.

loop is its life, pipeline what delivers: the feeder reads, lanes send. ledger, stream, post and the tables do the I/O;
blocks, events, cars, progress, parking, silence and verdict decide without any. It shares no code with the Function,
only the contract in docs/contract.md.
"""
