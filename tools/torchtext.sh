#!/bin/sh
# Sets up .venv-torchtext: the package's needs with torch 2.3, so that torchtext loads.
# `make test-torchtext` runs it when needed.
set -eu
cd "$(dirname "$0")/.."

fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null; }

if ! fits .venv-torchtext/bin/python; then
    python=
    for candidate in ${PYTHON3:-python3 python3.12 python3.11}; do
        if fits "$candidate"; then python=$candidate; break; fi
    done
    if [ -z "$python" ]; then
        echo "No Python 3.11 or 3.12 found; torch 2.3 was made for no later one. Install one, or" \
            "name it: make test-torchtext PYTHON3=/path/to/python3.12" >&2
        exit 1
    fi
    echo "Making .venv-torchtext with $("$python" --version)."
    rm -rf .venv-torchtext
    if ! "$python" -m venv .venv-torchtext; then
        rm -rf .venv-torchtext
        echo "$python cannot make a virtual environment: its venv or ensurepip module is missing." \
            "On Debian and Ubuntu: apt install python3-venv" >&2
        exit 1
    fi
    echo '*' > .venv-torchtext/.gitignore # as newer Pythons do
fi

echo "Installing the pins of requirements-torchtext.txt into .venv-torchtext. The first time takes" \
    "some minutes."
.venv-torchtext/bin/python -m pip install --disable-pip-version-check \
    --requirement requirements-torchtext.txt
touch .venv-torchtext/ready
