"""Is the true star among the optima that a fit from photometry alone reports, and do their weights say how often?

    python scripts/modes_of_photometry.py MODEL FOLDER [--program photosphere] [--stars 20000] [--noise 0.02]

Needs numpy and pyarrow. Stars are draws of the prior of MODEL (labels of the mixture, E uniform over 0 to 1 mag, a parallax uniform over 0 to 20 mas, which is not told), with independent noise. Fitted
without parallax, without the model's own errors; those at the ends of the ranges by an estimate are left out. The true star is where an optimum has its log g within 1 dex and its parallax within a factor of two. The weights
are those of Laplace (second_weight) and of weighted draws (posterior_second_weight).
"""

import argparse
import json
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from forward_model import Model
from train_seeds import GIANT, column


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--program", default="photosphere")
    parser.add_argument("--stars", dest="n", type=int, default=20000)
    parser.add_argument("--noise", type=float, default=0.02)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    model, random, n = Model(arguments.model), np.random.default_rng(3), arguments.n
    values = np.column_stack([model.sample_prior(n, random), random.random(n), 20 * random.random(n)])
    flux = np.exp(model.ln_flux(values))
    error = arguments.noise * flux
    noisy = flux + error * random.standard_normal(flux.shape)

    def lists(array):
        return pa.FixedSizeListArray.from_arrays(pa.array(array.astype(np.float32).ravel()), array.shape[1])

    grid = model.description["grid"]
    columns = {"source_id": np.arange(1, n + 1), "flux": lists(noisy), "flux_error": lists(error)}
    columns |= {f"true_{name}": truth / unit for name, unit, truth in zip(model.names, model.units, values.T)}
    metadata = {"wavelengths": json.dumps(grid["wavelength"]), "bands": json.dumps(grid["names"])}
    if "flux_unit" in model.description:
        metadata["flux_unit"] = model.description["flux_unit"]
    stars, options, catalogue = (arguments.folder / name for name in ("stars.parquet", "options.toml", "catalogue.parquet"))
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), stars)
    options.write_text("model_error = false\n", encoding="utf-8")
    words = ["fit", arguments.model, str(stars), "-o", str(catalogue), "--config", str(options), "--posterior", "importance", "--constraint", "none"]
    subprocess.run([arguments.program, *words, "--keep-truth", "--overwrite", "--quiet"], check=True)
    fitted = pq.read_table(catalogue)

    def is_true(prefix):
        near = np.abs(column(fitted, f"{prefix}logg") - column(fitted, "true_logg")) < 1
        return near & (np.abs(np.log(column(fitted, f"{prefix}parallax") / column(fitted, "true_parallax"))) < np.log(2))

    first, second = is_true(""), is_true("second_")
    giant = column(fitted, "true_logg") < GIANT
    usable = np.fmax(column(fitted, "parallax"), column(fitted, "second_parallax")) < 15
    usable &= np.fmax(column(fitted, "extinction"), column(fitted, "second_extinction")) < 0.8
    flagged = column(fitted, "quality_flags").astype(int) >> 9 & 1 == 1
    for group, members in (("dwarfs", usable & ~giant), ("giants", usable & giant)):
        print(
            f"{group} ({members.sum()}): true star first {first[members].mean():.3f}, first or second {(first | second)[members].mean():.3f}; "
            f"wrong without a second optimum {(~first & ~flagged)[members].mean():.3f}"
        )
    for what in ("second_weight", "posterior_second_weight"):
        weight = column(fitted, what)
        told = usable & np.isfinite(weight) & (first ^ second)
        print(f"{what}: mean {weight[told].mean():.3f}, second is the true star {second[told].mean():.3f} of {told.sum()}")
        for low, high in ((0, 0.02), (0.02, 0.1), (0.1, 0.3), (0.3, 0.7), (0.7, 1.01)):
            inside = told & (weight >= low) & (weight < high)
            if inside.sum() > 20:
                print(f"  {low:.2f}-{high:.2f}: {inside.sum():5d} stars, weight {weight[inside].mean():.3f}, true {second[inside].mean():.3f}")
    size = column(fitted, "posterior_ess")
    print(f"effective size: percentiles 1, 5, 50: {np.nanpercentile(size, [1, 5, 50]).round(0)}")


if __name__ == "__main__":
    main()
