#!/usr/bin/env bash
# An audit on all GPUs of this machine; models are split over them.
#
#   launch/node.sh --config=configs/cifar10/undefended.py \
#     --workdir=runs/cifar10 --data_dir=data
#
# One process drives every GPU it sees: set CUDA_VISIBLE_DEVICES to use fewer.
# Started again with the same workdir, the audit continues.
set -euo pipefail

# Shadow models fill the memory; reserving more of it at once avoids
# fragmentation.
export XLA_PYTHON_CLIENT_MEM_FRACTION="${XLA_PYTHON_CLIENT_MEM_FRACTION:-0.92}"

exec syndata-audit "$@"
