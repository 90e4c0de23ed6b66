#!/usr/bin/env bash
# Everything worth knowing of a new accelerator: whether it computes right, how
# fast it is, and one whole audit.
#
#   launch/accelerator_check.sh runs/h100
#
# Takes about two hours on one large GPU. Each part has a time limit, writes as
# it goes, and is followed by the next even if it fails; logs and results are
# in the folder. The peers of the benchmark need `pip install '.[benchmark]'`.
set -uo pipefail

out="${1:-${OUT:-}}"
if [[ -z "$out" ]]; then
  echo "usage: $0 FOLDER" >&2
  exit 2
fi
mkdir -p "$out"
failed=0

part() {
  local name=$1 limit=$2
  shift 2
  echo "== $name: $*"
  timeout "$limit" "$@" 2>&1 | tee "$out/$name.log"
  local status=${PIPESTATUS[0]}
  if [[ $status -ne 0 ]]; then
    echo "== $name: exit code $status (124: over $limit)"
    failed=1
  fi
}

part devices 5m python -c 'import jax
for device in jax.devices(): print(device, device.device_kind)
assert jax.default_backend() != "cpu", "no accelerator found"'
part parity 10m syndata-benchmark --suite=parity --out="$out/parity"
part benchmark 30m syndata-benchmark --suite=all --out="$out/benchmark"
part fashion 3h "$(dirname "$0")/node.sh" \
  --config=configs/fashion_mnist/undefended.py --workdir="$out/fashion"

exit "$failed"
