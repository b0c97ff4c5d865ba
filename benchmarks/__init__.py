"""What the relay can do, measured on it as a process, from outside: `python -m benchmarks.relay` writes relay.md.

history, recorded_node, stub_function and bare_loop are what it is measured with; parts starts and watches them;
measurements has the five measurements; figures and report say what came of them. Nothing here imports the relay.
"""
