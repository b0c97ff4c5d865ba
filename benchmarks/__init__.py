"""What the parts can do, measured on them as processes, from outside, by `python -m benchmarks.relay` and `.record`.

The relay: history, recorded_node, stub_function and bare_loop are what it is measured with; parts starts and watches
them; measurements has the five measurements; report makes relay.md of them. Nothing there imports the relay.
The record: leases is what is applied; naive_record and bare_tables are what it is measured beside, codec what its wire
is; record_measurements and record_report make record.md. command, figures and sections serve both.
"""
