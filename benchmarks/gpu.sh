#!/usr/bin/env bash
# Everything that needs a GPU, in under eight minutes: tests, speed against a graph, bits, inference, peers.
#
#     bash benchmarks/gpu.sh                 all parts that time allows
#     bash benchmarks/gpu.sh speed tests     some parts
#
# Prints a table, and what was skipped. Where there is no GPU nothing is measured, and that is said.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH="src:benchmarks${PYTHONPATH:+:$PYTHONPATH}"
export CUBLAS_WORKSPACE_CONFIG="${CUBLAS_WORKSPACE_CONFIG:-:4096:8}"
exec timeout --kill-after=10 475 "${PYTHON:-python}" benchmarks/gpu.py "$@"
