#!/bin/sh
# Started by Kudu each night, without arguments, as the triggered WebJob ledger-audit; by people with others, as
# `run.sh --json`. The packages relay and audit and their dependencies stand beside this file, built for Python 3.13.
# exec: signals reach Python, and this process id is the audit's.
# -P and -s: no module comes from the directory it is started in, nor from the user's own packages below HOME.
# What the surroundings say of where Python's own library is, or what it does at its end, is not heeded, as by the check
# below; nor is CDPATH, with which cd says where it went.
unset CDPATH PYTHONHOME PYTHONPLATLIBDIR PYTHONINSPECT
here=$(cd "$(dirname "$0")" && pwd)
export PYTHONPATH="$here/site-packages:$here"
export PYTHONUNBUFFERED=1
if ! python3 -I -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' >/dev/null 2>&1; then
    echo "ledger-audit: python3 must be Python 3.13 (linuxFxVersion PYTHON|3.13), found: $(python3 --version 2>&1)" >&2
    exit 2
fi
exec python3 -P -s -m audit "$@"
