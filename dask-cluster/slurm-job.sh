#!/bin/bash
# One TerraCube run on one SLURM node: a Dask scheduler, a worker per task, then the run itself.
#
#   sbatch --export=ALL,TERRACUBE_HOME=CLONE,CATALOG=CATALOG dask-cluster/slurm-job.sh \
#       composite --collection sentinel-2-l2a --bbox 13 46 14 47 --datetime 2023-08 --crs EPSG:3035 --resolution 120
#
# CLONE and CATALOG are absolute paths of folders that the node sees too; CLONE has its .venv (`make lint` makes it).
# More memory or another time: options of sbatch before the script's name replace the lines below.
#SBATCH --job-name=terracube
#SBATCH --nodes=1
#SBATCH --ntasks=4
#SBATCH --cpus-per-task=2
#SBATCH --mem-per-cpu=4G
#SBATCH --time=02:00:00

set -euo pipefail
bin=$TERRACUBE_HOME/.venv/bin
contact=$(mktemp -d)/scheduler.json

# Workers first, so that none of them loses its scheduler; the run's exit code stays the job's.
stop() {
    for process in ${workers:-} ${scheduler:-}; do
        kill "$process" 2>/dev/null && wait "$process" || true
    done
    rm -rf "$(dirname "$contact")"
}
trap stop EXIT

"$bin/dask" scheduler --interface lo --port 0 --no-dashboard --scheduler-file "$contact" &
scheduler=$!
until [ -s "$contact" ]; do sleep 0.2; done

srun --ntasks="$SLURM_NTASKS" --cpus-per-task="$SLURM_CPUS_PER_TASK" "$bin/dask" worker \
    --scheduler-file "$contact" --interface lo --nthreads "$SLURM_CPUS_PER_TASK" \
    --memory-limit "$((SLURM_MEM_PER_CPU * SLURM_CPUS_PER_TASK * 9 / 10))MiB" \
    --local-directory "$(dirname "$contact")" --no-dashboard --death-timeout 60 &
workers=$!

address=$("$bin/python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["address"])' "$contact")
"$bin/terracube" run "$@" --catalog "$CATALOG" --scheduler "$address"
