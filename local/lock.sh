#!/bin/sh
# Turns the dependency groups of pyproject.toml into hash-pinned requirements files. Needs uv.
# All files name the same versions: what is tested is what is deployed.
set -eu
cd "$(dirname "$0")/.."

compile() {
    uv pip compile --quiet --universal --python-version 3.13 --generate-hashes --no-emit-index-url --no-header "$@"
}

compile --group functions --group webjob --group local --group dev --group build -o local/requirements.txt
compile --group build -c local/requirements.txt -o local/build-requirements.txt
compile --group functions -c local/requirements.txt -o requirements.txt
compile --group webjob -c local/requirements.txt -o webjob/requirements.txt
compile --group infra -o local/infra-requirements.txt
