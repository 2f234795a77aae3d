#!/usr/bin/env bash
# Makes overlap.parquet and new_stars.parquet: simulated stars without the covariances of their spectra, which would be 90 % of the
# files. Needs python3 with pyarrow. Usage: notebooks-data/make.sh
set -euo pipefail
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

cargo run --release -- simulate --stars 2000 --seed 7 -o "$scratch/overlap.parquet"
cargo run --release -- simulate --stars 400 --seed 7 --new -o "$scratch/new_stars.parquet"
for name in overlap new_stars; do
    python3 - "$scratch/$name.parquet" "notebooks-data/$name.parquet" <<'PYTHON'
import sys
import pyarrow.parquet as parquet
table = parquet.read_table(sys.argv[1])
table = table.drop_columns(["xp_covariance_triu"])
# astropy's copy of the columns' descriptions names the dropped one too.
metadata = {key: value for key, value in table.schema.metadata.items() if key != b"table_meta_yaml"}
parquet.write_table(table.replace_schema_metadata(metadata), sys.argv[2], compression="zstd", compression_level=19)
PYTHON
done
ls -l notebooks-data/*.parquet
