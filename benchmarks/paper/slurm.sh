#!/bin/bash
# Trainings of the paper's experiment on Slurm: one GPU for each task, which takes the next training
# that no other task has, until none is left. Start it again to continue what the wall time has cut.
#
#   sbatch benchmarks/paper/slurm.sh DATASET OUTPUT [OPTIONS]
#
#SBATCH --job-name=paper
#SBATCH --array=0-7
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=12
#SBATCH --mem=48G
#SBATCH --time=3-00:00:00
#SBATCH --output=paper-%A_%a.out
set -eu
exec python -m benchmarks.paper "$@" --preset paper --device cuda --workers 1 --only train
