"""What Leasehook reaches, measured on processes, from outside: `make bench` writes report.md and its plots.

Read run first: it says what is measured, in which order. It is measured on parts, which are started here:
- history signs and commits, recording and recorded_node replay, workload has both; leases has what the record is fed.
- parts, record_parts and end_to_end start and watch relay, Function app and the whole path; watching looks through
  /proc, noise at the machine, profiling with py-spy.
- bare_stream, bare_loop, bare_tables and sdk_tables are the limits, naive_record and peers/ the usual ways.
What is measured: measurements (the relay alone), record_measurements (the Function app alone), end_to_end, growth, and
peers.measurements (losses). How it is told: report, of relay_report, record_report and ways_report; drawing and plots.
scale/ counts requests and bytes, and has a report of its own. Nothing here is imported by what is deployed.
"""
