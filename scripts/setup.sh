#!/usr/bin/env bash
# Set up the project's own Python environment from a lock file; do nothing when it is ready.
#
#   scripts/setup.sh [run|dev]     dev (the default): also what tests and checks need
#
# The other scripts source this file and call ensure_venv. Environment:
#   EMU_PYTHON   the Python to build with, instead of the first suitable one on PATH
#   EMU_VENV     where the environment is, instead of .venv in the project folder
#
# Ready means: the environment's stamp holds the hash of lock file, pyproject.toml and project path. The stamp is
# written last. The lock file beside the environment is not empty while a set-up is under way, so that an
# interrupted one is begun anew; it is also what two concurrent starts wait on.

project=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
venv=${EMU_VENV:-$project/.venv}
[[ $venv == /* ]] || venv=$PWD/$venv
# Nothing of the caller's own Python set-up may leak into ours.
unset PYTHONPATH PYTHONHOME

under_way="emu set-up under way"

say() { printf '%s\n' "$*" >&2; }

die() {
    say "emu: $*"
    exit 2
}

lock_of() { if [[ $1 == dev ]]; then echo requirements-dev.lock; else echo requirements.lock; fi; }

key_of() {
    local sum lock
    lock=$project/$(lock_of "$1")
    [[ -r $lock && -r $project/pyproject.toml ]] || return
    sum=$({ printf '%s\n' "$project" && cat "$lock" "$project/pyproject.toml"; } | sha256sum)
    echo "${sum%% *}"
}

# is_ready KIND: the environment is complete for this kind; the one for dev also serves a run.
is_ready() {
    local stamp
    [[ -x $venv/bin/python && -r $venv/emu-$1.stamp ]] || return 1
    stamp=$(<"$venv/emu-$1.stamp")
    [[ -n $stamp && $stamp == "$(key_of "$1")" ]]
}

# suits PYTHON: a version that wheels of all locked packages exist for
suits() { [[ $("$1" -c 'import sys; print((3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null) == True ]]; }

# is_unfinished: a set-up began here and did not end (or is under way).
is_unfinished() { [[ -s $venv.lock && $(<"$venv.lock") == "$under_way" ]]; }

# Print the first Python that will do.
find_python() {
    local candidate without_venv= candidates=(python3.13 python3.12 python3.11 python3.14 python3)
    [[ -z ${EMU_PYTHON:-} ]] || candidates=("$EMU_PYTHON")
    for candidate in "${candidates[@]}"; do
        suits "$candidate" || continue
        if "$candidate" -c 'import venv, ensurepip' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
        without_venv=${without_venv:-$candidate}
    done
    if [[ -n $without_venv ]]; then
        die "$without_venv has no venv or ensurepip module; install it (Debian, Ubuntu: apt install" \
            "$("$without_venv" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')) and start again"
    elif [[ -n ${EMU_PYTHON:-} ]]; then
        die "EMU_PYTHON = $EMU_PYTHON is no Python 3.11 to 3.14; correct or unset it"
    fi
    die "no Python 3.11 to 3.14 on PATH (looked for python3.13, python3.12, python3.11, python3.14, python3);" \
        "install one (Debian, Ubuntu: apt install python3 python3-venv) or set EMU_PYTHON to its path"
}

# build KIND: make the environment. Runs with the lock held; whatever fails leaves the lock file not empty.
build() {
    local kind=$1 lock python began=$SECONDS key
    lock=$(lock_of "$kind")
    key=$(key_of "$kind") || die "cannot read $lock and pyproject.toml in $project; is the checkout complete?"
    if is_unfinished || ! suits "$venv/bin/python" || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        python=$(find_python) || exit
        say "setting up $venv_shown (first time only, may take a minute): $("$python" --version), packages of $lock ..."
        echo "$under_way" >"$venv.lock"
        rm -rf "$venv"
        "$python" -m venv "$venv" || die "$python could not make a virtual environment in $venv (see above)"
    else
        say "bringing $venv_shown up to date with $lock ..."
        echo "$under_way" >"$venv.lock"
        rm -f "$venv"/emu-*.stamp
    fi
    PIP_USER=0 "$venv/bin/python" -m pip install --quiet --no-input --disable-pip-version-check \
        --require-hashes --only-binary=:all: -r "$project/$lock" ||
        die "packages of $lock could not be installed (see above). The first start needs a package index: a network," \
            "or a mirror named in PIP_INDEX_URL. Start again when it is there; nothing has to be cleaned up"
    # The checkout itself, importable from everywhere, and the command `emu`; neither needs a build.
    printf '%s\n' "$project" >"$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/emu.pth"
    # shellcheck disable=SC2016  # expanded when the command runs
    printf '%s\n' '#!/bin/sh' 'exec "$(dirname "$(readlink -f "$0")")/python" -P -m emu "$@"' >"$venv/bin/emu"
    chmod +x "$venv/bin/emu"
    key_of run >"$venv/emu-run.stamp"
    [[ $kind == run ]] || echo "$key" >"$venv/emu-$kind.stamp"
    : >"$venv.lock"
    say "$venv_shown is ready ($((SECONDS - began)) s)"
}

# ensure_venv KIND: afterwards $python is the environment's interpreter, complete for a run or for dev.
ensure_venv() {
    python=$venv/bin/python
    is_ready "$1" && return
    local venv_shown=${venv#"$project/"}
    if [[ -e $venv && ! -e $venv/pyvenv.cfg && -n $(ls -A "$venv" 2>&1) ]] && ! is_unfinished; then
        die "$venv exists and is no virtual environment; move it away, or set EMU_VENV to another folder"
    fi
    if ! { mkdir -p "$venv" && [[ -w $venv ]] && : >>"$venv.lock"; } 2>/dev/null; then
        die "$venv: cannot write there, and no environment is ready;" \
            "set EMU_VENV to a folder that you may write, for example EMU_VENV=\$HOME/.cache/emu/venv"
    fi
    (
        trap 'say "emu: interrupted; the next start sets up anew"; exit 130' INT TERM
        if command -v flock >/dev/null && ! flock --nonblock 9; then
            say "another start is setting up $venv_shown; waiting for it ..."
            flock 9
        fi
        is_ready "$1" || build "$1"
    ) 9>>"$venv.lock" || exit
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    set -u
    case ${1:-dev} in
    run | dev) ensure_venv "${1:-dev}" ;;
    *) die "setup.sh: $1: what to set up is 'run' or 'dev'" ;;
    esac
fi
