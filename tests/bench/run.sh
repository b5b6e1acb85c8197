#!/usr/bin/env bash
# The figures as tests/run.sh wants them: quick, or in full with long=1.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
if [ "${long:-0}" = 1 ]; then set -- "$@"; else set -- --quick "$@"; fi
exec /usr/bin/python3 figures.py "$@"
