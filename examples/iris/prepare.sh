#!/usr/bin/env bash
# The virtual environment in which the model is trained and served, and the model.
set -euo pipefail
cd "$(dirname "$0")"
PYTHON=${PYTHON:-python3}
if ! cmp -s requirements.lock .venv/requirements.lock; then
    echo "== making the virtual environment (once; 650 MB from PyPI, a minute or two)"
    "$PYTHON" -m venv .venv || { echo "iris: needs python3 with venv, for example: apt-get install python3-venv" >&2; exit 69; }
    .venv/bin/pip install --quiet --disable-pip-version-check -r requirements.lock
    cp requirements.lock .venv/requirements.lock
fi
[ -f model.joblib ] || { echo "== training"; .venv/bin/python train.py; }
