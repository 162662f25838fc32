#!/usr/bin/env bash
# Make requirements.lock and requirements-dev.lock anew from pyproject.toml: newest versions, all hashes.
# Needs pip-tools in .venv and the oldest supported Python, so that the result suits the newer ones too.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

options=(--quiet --upgrade --generate-hashes --allow-unsafe --strip-extras --no-header --no-annotate
    --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options --newline=lf)

# compile FILE WHAT [pip-compile option ...]
compile() {
    local file=$1 what=$2 made
    shift 2
    made=$(mktemp)
    .venv/bin/python -m piptools compile "${options[@]}" "$@" -o "$made" pyproject.toml
    {
        echo "# Every package that $what needs, by version and hash. Made on the oldest supported Python by scripts/lock.sh."
        # There is no arm64 wheel of this one, and pip-compile drops the marker that pyproject.toml gives it.
        sed "s/^\(hdrhistogram==[^ ]*\) /\1 ; platform_machine == 'x86_64' /" "$made"
    } >"$file"
    rm -f "$made"
    if grep -nE '^-|://|@ ' "$file"; then
        echo "scripts/lock.sh: $file names a place on a machine or network (above); remove it before committing" >&2
        exit 1
    fi
}

compile requirements.lock "a run"
compile requirements-dev.lock "a development set-up" --extra dev --constraint requirements.lock
