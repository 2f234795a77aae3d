#!/usr/bin/env python3
"""Have means of many real stars the errors that they claim? Groups of the real overlap, by models that have not seen them.

    scripts/real_groups.py FILE [--program target/release/photosphere] [--out target/real_groups] [--recipe photometry-lamost]

FILE is the observation file of `photosphere prepare prepare-photometry-lamost`. The stars are divided in quarters by a hash of their
identifiers. Each half trains a model; `calibrate` learns its zero points from one quarter of the other half, the other quarter is
fitted by likelihood alone; then the quarters change places. Prints what each calibration has found, and `validate --calibration` of
all fits: the pulls of single stars, of means of 100, and of those with what stars share. Needs numpy and pyarrow.
"""

import argparse
import json
import pathlib
import subprocess

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet


def quarter(identifiers):
    """0 to 3, by another sequence of SplitMix64 than that of the split of `train`."""
    x = (identifiers.astype(np.int64).view(np.uint64) + np.uint64(12345)) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((x ^ (x >> np.uint64(31))) >> np.uint64(62)).astype(int)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--program", type=pathlib.Path, default=pathlib.Path("target/release/photosphere"))
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("target/real_groups"))
    parser.add_argument("--recipe", default="photometry-lamost", help="built-in recipe or a file")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    def run(*words, **more):
        return subprocess.run([str(options.program), *map(str, words)], check=True, text=True, **more)

    stars = parquet.read_table(options.file)
    quarters = quarter(stars.column("source_id").to_numpy())

    def part(name, chosen):
        path = options.out / f"{name}.parquet"
        parquet.write_table(stars.filter(pa.array(chosen)), path)
        return path

    files = [part(f"quarter-{k}", quarters == k) for k in range(4)]
    catalogues = []
    for half, others in ((0, (2, 3)), (1, (0, 1))):
        model = options.out / f"model-{half}"
        run("train", options.recipe, part(f"half-{half}", quarters // 2 == half), "-o", model, "--overwrite", "--quiet")
        for teach, test in (others, others[::-1]):
            calibrated, catalogue = options.out / f"calibrated-{teach}", options.out / f"fit-{test}.parquet"
            words = ("calibrate", model, files[teach], "-o", calibrated, "--overwrite", "--json", "--quiet")
            told = json.loads(run(*words, stdout=subprocess.PIPE).stdout)
            factors = ", ".join(f"{found['parameter']} {found['factor']:.2f} ± {found['error']:.2f}" for found in told["label_errors"])
            pairs = told["unresolved_pairs"]
            print(f"quarter {teach}: errors of labels times {factors}; share of pairs {pairs['share'] if pairs else 0:.3f}")
            run("fit", calibrated, files[test], "-o", catalogue, "--likelihood-only", "--overwrite", "--quiet")
            catalogues.append(parquet.read_table(catalogue))
    metadata = catalogues[0].schema.metadata
    plain = [catalogue.replace_schema_metadata(None) for catalogue in catalogues]
    fits = options.out / "fits.parquet"
    parquet.write_table(pa.concat_tables(plain, promote_options="permissive").replace_schema_metadata(metadata), fits)
    run("validate", fits, options.file, "--flags-below", 8, "--calibration", options.out / "calibration.ecsv", "--overwrite", "--quiet")


if __name__ == "__main__":
    main()
