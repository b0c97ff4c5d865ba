"""Makes the two packages that are deployed, dist/functions.zip and dist/webjobs.zip: `python -m local.package`.

The same commit gives the same bytes, whatever machine, folder or hour it is built in: source.py reads the work tree,
wheels.py brings the WebJobs' dependencies for Linux x86_64 and CPython 3.13, contents.py says what goes where, and
archive.py writes. It knows nothing about how the packages are published.
"""
