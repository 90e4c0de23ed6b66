#!/usr/bin/env bash
# An audit on all GPUs of one Slurm node.
#
#   sbatch launch/slurm.sh --config=configs/cifar10/undefended.py \
#     --workdir=runs/cifar10 --data_dir=data
#
# Submit from the repository, with the environment that has syndata_jax active.
# A job that is preempted or runs out of time is put back into the queue and
# continues from its last checkpoint.
#SBATCH --job-name=syndata-audit
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=16
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --signal=B:TERM@120
#SBATCH --output=syndata-audit-%j.log
set -euo pipefail

child=
requeue() {
  scontrol requeue "$SLURM_JOB_ID"
  kill "$child"
}
trap requeue TERM

srun --ntasks=1 bash "${SLURM_SUBMIT_DIR:-.}/launch/node.sh" "$@" &
child=$!
wait "$child"
