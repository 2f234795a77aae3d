"""What the errors of fits are worth where the model is exact: pulls of stars that the model itself makes.

    python scripts/pulls_of_itself.py MODEL NEW.parquet FOLDER [--program photosphere]

Needs numpy and pyarrow. The labels, extinctions and parallaxes are the true_* columns of NEW, as `photosphere simulate` writes them; the
fluxes are those of the model there (`photosphere predict`), with independent noise of NEW's flux errors, and so are the parallaxes.
Fitted by likelihood alone without model errors. Posteriors that are no Gaussians (poor parallaxes, two optima, E at zero)
leave less than 95 % within 1.96 errors even so: no training can do better.
"""

import argparse
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from train_seeds import GIANT, PARAMETERS, column, vectors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("new")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--program", default="photosphere")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    labels, fluxes, stars, options, catalogue = (
        arguments.folder / name for name in ("labels.parquet", "fluxes.parquet", "stars.parquet", "options.toml", "catalogue.parquet")
    )

    def program(*words):
        subprocess.run([arguments.program, *map(str, words), "--overwrite", "--quiet"], check=True)

    table = pq.read_table(arguments.new)
    pq.write_table(pa.table({"source_id": table["source_id"], **{name: table[f"true_{name}"] for name in PARAMETERS}}), labels)
    program("predict", arguments.model, labels, "-o", fluxes)
    random = np.random.default_rng(1)
    table = table.drop_columns([name for name in table.column_names if "covariance" in name])
    errors = vectors(table, "flux_error")
    flux = vectors(pq.read_table(fluxes), "flux") + random.standard_normal(errors.shape) * errors
    parallax = column(table, "true_parallax") + random.standard_normal(table.num_rows) * column(table, "parallax_error")

    def replace(table, name, values):
        at = table.column_names.index(name)
        return table.set_column(at, table.schema.field(name), values.cast(table.schema.field(name).type))

    offsets = pa.array(np.arange(0, flux.size + 1, flux.shape[1]), pa.int32())
    table = replace(table, "flux", pa.ListArray.from_arrays(offsets, pa.array(flux.ravel())))
    table = replace(table, "parallax", pa.array(parallax))
    pq.write_table(table, stars)
    options.write_text("model_error = false\n", encoding="utf-8")
    program("fit", arguments.model, stars, "-o", catalogue, "--config", options, "--likelihood-only", "--keep-truth")
    fitted = pq.read_table(catalogue)
    for group, members in (("dwarfs", column(fitted, "true_logg") >= GIANT), ("giants", column(fitted, "true_logg") < GIANT)):
        for name in PARAMETERS:
            pull = (column(fitted, name) - column(fitted, f"true_{name}")) / column(fitted, f"{name}_error")
            pull = pull[members & np.isfinite(pull)]
            scatter = 1.4826 * np.median(np.abs(pull - np.median(pull)))
            print(f"{group} ({len(pull)}) {name:10s} MAD-sigma {scatter:.3f}, within 1.96: {np.mean(np.abs(pull) < 1.96):.3f}")


if __name__ == "__main__":
    main()
