"""Stars drawn from the very prior that a fit believes in, for tests of its posteriors.

    python scripts/stars_of_prior.py MODEL TEMPLATES.parquet STARS.parquet [--stars 20000] [--seed 1] \
        [--largest-parallax 20] [--parallax-errors 1]

Needs numpy and pyarrow. Labels are draws of the model's mixture, E is uniform over 0 to 2 mag and the parallax over 0 to 20 mas (--largest-parallax), fluxes are those of the model
(scripts/forward_model.py) with the flux covariance and parallax error of a star of TEMPLATES (`photosphere simulate --new`), times
a factor log-uniform over 0.1 to 10 for the flux and --parallax-errors for the parallax. Nothing of the errors depends on the star. Stars are kept by what is observed alone (median S/N
of the fluxes between 15 and 400), which leaves posteriors true: so the intervals of a right posterior hold the truth as often as they say.
That ratio is written as snr.
"""

import argparse

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from forward_model import Model, triangle
from train_seeds import column, vectors

LARGEST_EXTINCTION = 2.0
SIGNAL = 15.0, 400.0
DRAWS = 20_000


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("templates")
    parser.add_argument("stars")
    parser.add_argument("--stars", dest="n", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--largest-parallax", type=float, default=20.0)
    parser.add_argument("--parallax-errors", type=float, default=1.0)
    arguments = parser.parse_args()
    model, random = Model(arguments.model), np.random.default_rng(arguments.seed)
    templates = pq.read_table(arguments.templates)
    errors = vectors(templates, "flux_error")
    parallax_errors = arguments.parallax_errors * column(templates, "parallax_error")
    covariances = vectors(templates, "xp_covariance_triu")
    b = int(round((np.sqrt(8 * covariances.shape[1] + 1) - 1) / 2))
    usable = np.flatnonzero(np.isfinite(errors).all(1) & np.isfinite(covariances).all(1) & np.isfinite(parallax_errors))
    factors = {}

    def factor(template):
        if template not in factors:
            matrix = np.diag(errors[template] ** 2)
            matrix[:b, :b] = triangle(covariances[template], b)
            values, axes = np.linalg.eigh(matrix)
            factors[template] = axes * np.sqrt(np.maximum(values, 0))
        return factors[template]

    kept = []
    while len(kept) < arguments.n:
        labels = model.sample_prior(DRAWS, random)
        values = np.column_stack(
            [labels, LARGEST_EXTINCTION * random.random(DRAWS), arguments.largest_parallax * random.random(DRAWS)]
        )
        template, level = random.choice(usable, DRAWS), 10 ** random.uniform(-1, 1, DRAWS)
        flux = np.exp(model.ln_flux(values))
        signal = np.median(flux / (level[:, None] * errors[template]), axis=1)
        # Those that no noise brings into the window need no noise.
        for i in np.flatnonzero((signal > 0.5 * SIGNAL[0]) & (signal < 2 * SIGNAL[1])):
            noisy = flux[i] + level[i] * (factor(template[i]) @ random.standard_normal(flux.shape[1]))
            if SIGNAL[0] < np.median(noisy / (level[i] * errors[template[i]])) < SIGNAL[1]:
                kept.append((values[i], template[i], level[i], noisy))
    kept = kept[: arguments.n]
    values, template, level, flux = (np.array([row[k] for row in kept]) for k in range(4))
    signal = np.median(flux / (level[:, None] * errors[template]), axis=1)
    print(f"{len(kept)} stars, {np.mean(values[:, 2] < 3.5):.3f} of them with a true log g below 3.5")
    table = templates.take(pa.array(template))
    table = table.select([name for name in table.column_names if not name.startswith(("teff", "feh", "logg", "extinction", "true_"))])

    def replace(table, name, array):
        at = table.column_names.index(name)
        return table.set_column(at, table.schema.field(name), array.cast(table.schema.field(name).type))

    def lists(array):
        return pa.FixedSizeListArray.from_arrays(pa.array(array.astype(np.float32).ravel()), array.shape[1])

    measured = values[:, -1] + parallax_errors[template] * random.standard_normal(len(kept))
    table = replace(table, "source_id", pa.array(np.arange(1, len(kept) + 1)))
    table = replace(table, "flux", lists(flux))
    table = replace(table, "flux_error", lists(level[:, None] * errors[template]))
    table = replace(table, "xp_covariance_triu", lists(level[:, None] ** 2 * covariances[template]))
    table = replace(table, "parallax", pa.array(measured))
    table = replace(table, "parallax_error", pa.array(parallax_errors[template]))
    table = table.append_column("snr", pa.array(signal))
    for name, unit, truth in zip(model.names, model.units, values.T):
        table = table.append_column(f"true_{name}", pa.array(truth / unit))
    pq.write_table(table, arguments.stars)


if __name__ == "__main__":
    main()
