#!/usr/bin/env bash
# Fetches what the tests with foreign peers need and apt does not have: Python packages in a virtual environment, and
# h2spec. Into the user's cache and never into the source tree; each folder is named after the file that decides what is
# in it, so that another version is another folder. What cannot be had is said, and is no fault: its tests are left out.
#
#     deps.sh                        fetches
#     deps.sh where python|h2spec    says where it is; nothing if it is not there
set -euo pipefail
cd "$(dirname "$0")"

cache=${XDG_CACHE_HOME:-$HOME/.cache}/rouse
named_after() { sha256sum < "$1" | cut -c1-12; }
python=$cache/peers-$(named_after requirements.txt)
h2spec=$cache/h2spec-$(named_after h2spec/go.sum)
# Written last: what was cut in the middle is not taken for the real thing.
is_complete() { [ -e "$1/complete" ]; }

case "${1:-fetch} ${2:-}" in
    "where python") ! is_complete "$python" || echo "$python/bin/python"; exit 0 ;;
    "where h2spec") ! is_complete "$h2spec" || echo "$h2spec/h2spec"; exit 0 ;;
    "fetch ") ;;
    *) echo "deps.sh: means nothing: $*" >&2; exit 64 ;;
esac

if ! is_complete "$python"; then
    echo "deps: Python packages for the tests with foreign peers, into $python"
    rm -rf "$python"
    if python3 -m venv "$python" && "$python/bin/python" -m pip install --quiet --disable-pip-version-check \
        --require-hashes --only-binary :all: --requirement requirements.txt; then
        touch "$python/complete"
    else
        echo "deps: they cannot be had (python3 with venv and a package index are needed); their tests will be left out"
    fi
fi

if ! is_complete "$h2spec"; then
    echo "deps: h2spec, into $h2spec"
    go=$(command -v go || echo /usr/local/go/bin/go)
    rm -rf "$h2spec"
    if (cd h2spec && GOTOOLCHAIN=local "$go" build -o "$h2spec/h2spec" github.com/summerwind/h2spec/cmd/h2spec); then
        touch "$h2spec/complete"
    else
        echo "deps: it cannot be had (Go 1.26 and its module proxy are needed); its tests will be left out"
    fi
fi
