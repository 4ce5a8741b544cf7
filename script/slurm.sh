#!/usr/bin/env bash
# Submit a protocol to Slurm: its steps run one after the other, each over all GPUs of all machines.
#   DATA_ROOT=/data script/slurm.sh NODES GPUS script/zero_shot.sh OST kinetics400 [...]
#   --dry-run as first word prints the job. Partition, account, time and so on are sbatch's own
#   variables: SBATCH_PARTITION, SBATCH_ACCOUNT, SBATCH_TIMELIMIT. A job that is requeued goes on.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

answer_help "$@"
dry=""
[ "${1:-}" = --dry-run ] && dry=1 && shift
[[ $# -ge 3 && $1 =~ ^[1-9][0-9]*$ && $2 =~ ^[1-9][0-9]*$ ]] ||
  die "usage: script/slurm.sh [--dry-run] NODES GPUS script/PROTOCOL.sh METHOD DATASET [...]"
nodes=$1 gpus=$2
shift 2
[ -n "$dry" ] || command -v sbatch >/dev/null || die "no sbatch here: run this where Slurm is"
[ -f "$1" ] || die "$1: no such script; the protocols are zero_shot, few_shot, base_to_novel, fully_supervised"

# The job's script runs on the first machine; srun starts torchrun once on each of them for a step.
job="$(
  cat <<EOF2
#!/usr/bin/env bash
#SBATCH --job-name=$(basename "$1" .sh) --nodes=$nodes --ntasks-per-node=1 --gpus-per-node=$gpus
#SBATCH --requeue --open-mode=append --signal=TERM@120
head=\$(scontrol show hostnames "\$SLURM_JOB_NODELIST" | head -n 1)
export OST_VENV=$(printf %q "$venv") DATA_ROOT=$(printf %q "${DATA_ROOT:-}")
export OST_LAUNCH="srun $(printf %q "$venv/bin/torchrun") --nnodes $nodes --nproc_per_node $gpus \
--rdzv_id \$SLURM_JOB_ID --rdzv_backend c10d --rdzv_endpoint \$head:\$((20000 + SLURM_JOB_ID % 10000))"
exec$(printf ' %q' bash "$@")
EOF2
)"
if [ -n "$dry" ]; then
  printf '%s\n' "$job"
else
  ensure_environment report
  sbatch <<<"$job"
fi
