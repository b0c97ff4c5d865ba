#!/bin/sh
# Finds Python 3.13 and hands over to install.py. Says what is missing, and how to get it, when there is none.
cd "$(dirname "$0")/.." || exit 1

is_right() {
    [ -n "$1" ] && "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null
}

for candidate in \
    "${PYTHON:-}" \
    "$(command -v python3.13)" \
    "$(command -v python3)" \
    "$(command -v pyenv >/dev/null && pyenv prefix 3.13 2>/dev/null)/bin/python3" \
    "$(command -v uv >/dev/null && uv python find 3.13 2>/dev/null)"
do
    if is_right "$candidate"; then
        exec "$candidate" local/install.py "$@"
    fi
done

cat >&2 <<'TEXT'
Python 3.13 is missing. Get it in one of these ways, then run the same command again:
  pyenv:   pyenv install 3.13
  uv:      uv python install 3.13
  Debian 13, Ubuntu 25.04 or later:   apt install python3.13 python3.13-venv
or name one that you have:   make PYTHON=/path/to/python3.13 demo
TEXT
exit 1
