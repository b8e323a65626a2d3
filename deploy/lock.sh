#!/bin/sh
# Makes requirements.lock anew from pyproject.toml: names, versions and hashes of all packages.
set -eu
cd "$(dirname "$0")/.."
exec .venv/bin/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 \
    --generate-hashes --no-annotate --no-header --output-file requirements.lock "$@"
