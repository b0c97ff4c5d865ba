#!/bin/sh
# Started by Kudu as the continuous WebJob ledger-relay. The package relay and its dependencies stand beside this file.
# exec: signals reach Python, and this process id is the relay's.
# -P and -s: no module comes from the directory it is started in, nor from the user's own packages below HOME.
here=$(cd "$(dirname "$0")" && pwd)
export PYTHONPATH="$here/site-packages:$here"
export PYTHONUNBUFFERED=1
exec python3 -P -s -m relay run
