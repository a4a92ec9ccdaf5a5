#!/bin/sh
# Sets up .venv with all that the book, the tests and the package need. `make` runs it when needed.
set -eu
cd "$(dirname "$0")/.."

fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; }

if ! fits .venv/bin/python; then
    python=
    for candidate in ${PYTHON3:-python3 python3.13 python3.12 python3.11}; do
        if fits "$candidate"; then python=$candidate; break; fi
    done
    if [ -z "$python" ]; then
        echo "No Python 3.11, 3.12 or 3.13 found. Install one, or name it: make PYTHON3=/path/to/python3" >&2
        exit 1
    fi
    echo "Making .venv with $("$python" --version)."
    rm -rf .venv
    if ! "$python" -m venv .venv; then
        rm -rf .venv
        echo "$python cannot make a virtual environment: its venv or ensurepip module is missing." \
            "On Debian and Ubuntu: apt install python3-venv" >&2
        exit 1
    fi
fi

echo "Installing the pins of requirements.txt into .venv. The first time takes some minutes."
.venv/bin/python -m pip install --disable-pip-version-check --requirement requirements.txt
echo "Installing the package annotated, editable."
.venv/bin/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation \
    --editable .
touch .venv/ready
