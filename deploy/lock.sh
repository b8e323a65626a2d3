#!/bin/sh
# Makes the lock files anew from pyproject.toml: names, versions and hashes of all packages.
# requirements.lock is for work on Bakvakt; requirements-run.lock is the part of it that services need.
set -eu
cd "$(dirname "$0")/.."

lock() {
    .venv/bin/uv pip compile pyproject.toml --universal --python-version 3.11 \
        --generate-hashes --no-annotate --no-header --output-file "$@"
}

lock requirements.lock --group dev "$@"
lock requirements-run.lock --constraints requirements.lock
