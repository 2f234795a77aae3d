#!/usr/bin/env bash
# The commands of a program with an effect of its own (examples/own_program.rs): train, fit, resume, a HATS folder, audit.
# Usage: own_program.sh PROGRAM FOLDER
set -euo pipefail
program=$(realpath "$1")
rm -rf "$2"
mkdir -p "$2"
cd "$2"

cat > recipe.toml <<'RECIPE'
description = "a small model with a grey error"
[prior]
n_components = 2
n_restarts = 1
[[effect]]
kind = "emulator"
hidden = [16]
[[effect]]
kind = "extinction"
[[effect]]
kind = "grey_error"
width = 0.02
[[effect]]
kind = "distance"
[[stage]]
kind = "learn"
name = "first"
epochs = 10
learning_rate = 1e-2
[[stage]]
kind = "learn"
name = "stars"
epochs = 5
learning_rate = 2e-3
stars = { method = "levenberg_marquardt", iterations = 1 }
RECIPE

"$program" --quiet simulate --stars 400 -o overlap.parquet
"$program" --quiet train recipe.toml overlap.parquet -o model
"$program" inspect model | grep -q grey || { echo "the parameter is not in the model"; exit 1; }

# One catalogue, and the same again: nothing is made anew.
"$program" --quiet simulate --stars 300 --new -o new.parquet
"$program" --quiet fit model new.parquet -o catalogue.parquet
before=$(sha256sum catalogue.parquet)
"$program" fit model new.parquet -o catalogue.parquet --resume 2>&1 | grep -q "finished already"
[[ $before == $(sha256sum catalogue.parquet) ]]

# A HATS catalogue, partition by partition; one of them is lost and made again.
mkdir -p survey/dataset/Norder=0/Dir=0
echo "dataproduct_type=object" > survey/hats.properties
for pixel in 3 7; do
    echo "first_star = ${pixel}000000" > pixel.toml
    "$program" --quiet simulate --stars 100 --config pixel.toml -o "survey/dataset/Norder=0/Dir=0/Npix=$pixel.parquet"
done
"$program" --quiet fit model survey -o run/
rm "run/dataset/Norder=0/Dir=0/Npix=7.parquet"
"$program" --quiet fit model survey -o run/ --resume
"$program" --quiet finalize run
test -s "run/dataset/Norder=0/Dir=0/Npix=7.parquet"

"$program" --quiet audit model new.parquet catalogue.parquet --sample 50 --starts 4 | grep -q "50 stars drawn"
echo "own_program: train, fit, resume, HATS, audit"
