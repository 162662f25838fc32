#!/usr/bin/env bash
# Everything a change must pass: lint, types, house rules, tests. Runs all, then names what failed.
set -u

# shellcheck source=scripts/setup.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/setup.sh"
ensure_venv dev
cd "$project" || exit 2

failures=()
check() {
    echo "== $1"
    "${@:2}" || failures+=("$1")
}

check "ruff" "$python" -m ruff check .
check "mypy" "$python" -m mypy emu workers
check "tidy" "$python" scripts/tidy.py
check "tests" scripts/test "$@"

if ((${#failures[@]} > 0)); then
    echo "check: failed: ${failures[*]}"
    exit 1
fi
echo "check: all passed"
