#!/usr/bin/env bash
# Installs PyTorch (CPU) and NumPy into build/oracle, for record.py. The tests need neither: they replay recorded/.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ -x build/oracle/bin/python ] || python3 -m venv build/oracle
build/oracle/bin/pip install --quiet torch==2.13.0 numpy
build/oracle/bin/python -c 'import torch; print("oracle: PyTorch", torch.__version__)'
