#!/bin/sh
# Fails when a tracked file names the host of a package registry: pins must hold wherever the packages come from.
# The names are put together here, so that this file does not hold them either.
cd "$(dirname "$0")/.." || exit 1
dot='\.'
pattern="pypi${dot}org|pythonhosted${dot}org|registry${dot}npmjs|npmjs${dot}(org|com)|deb${dot}debian|proxy${dot}golang|crates${dot}io"
if git grep -nIE "$pattern"; then
    echo "the lines above name the host of a package registry; take it out" >&2
    exit 1
fi
echo "no registry host is named"
