#!/usr/bin/env python3
"""The shipped photometric recipe on the real overlap, beside regressions, on the same stars with the same cuts.

    scripts/real_overlap.py FILE [--program target/release/photosphere] [--seeds 5] [--out target/real_overlap]

FILE is the sample of Green et al. (2021), lamost_overlap_8964.fits. For each seed a model is trained on four fifths of
the stars (the split by identifier that `train` uses), the last fifth is fitted from photometry and parallax without
labels, and regressions are trained on the same four fifths with the same inputs. Every row of a table is over one set
of stars, the same for all methods: stars for which a value of the catalogue exists and, in the second table, whose fit
is in the basic cut of the first seed. Then pulls by likelihood alone, the likelihood of held-out labels, and what
photometry alone says: optima, distances, pulls of ϖ. Needs numpy, pyarrow and scikit-learn.
"""

import argparse
import json
import pathlib
import re
import struct
import subprocess
import tomllib

import numpy as np
import pyarrow.parquet as parquet
import sklearn
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.neighbors import KNeighborsRegressor

LABELS = {"teff": "K", "feh": "dex", "logg": "dex", "extinction": "mag"}
PARAMETERS = (*LABELS, "parallax")  # the order of covariances in catalogues
BANDS = 13
BASIC_CUT = 8  # quality_flags below this (docs/src/file-formats.md)
SECOND_OPTIMUM = 1 << 9
SERIOUS = 1 << 3 | 1 << 4 | 1 << 6 | 1 << 11  # χ², labels unlike the training, not converged, not fitted
GIANT = 3.8  # log g
VALIDATION_FRACTION = 0.2
NOT_MISSING = 1e10  # a band that was not observed has an infinite variance or a null


def in_validation(identifiers):
    """The split of photosphere (src/observations/split.rs): SplitMix64 of the identifier."""
    x = identifiers.astype(np.int64).view(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (x ^ (x >> np.uint64(31))).astype(float) < VALIDATION_FRACTION * float(2**64 - 1)


def column(table, name):
    """A column as doubles, nulls as NaN."""
    values = table.column(name).to_numpy(zero_copy_only=False)
    return np.array([np.nan if value is None else value for value in values], dtype=float)


def inputs(table, flux, distance):
    """ln G flux, colours against it, and what stands for the distance: ϖ, ϖ/√G flux or M_G."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ln = np.log(flux)
        parallax = column(table, "parallax")
        columns = [ln[:, 0], *(ln[:, band] - ln[:, 0] for band in range(1, BANDS))]
        if distance == "parallax":
            columns.append(parallax)
        else:  # the absolute magnitude as far as a parallax says it, finite for negative ones: asinh of ϖ/√flux
            columns.append(np.arcsinh(parallax * np.exp(-0.5 * ln[:, 0]) / SOFTENING))
    return np.stack(columns, axis=1)


SOFTENING = 1.0  # set from the training stars in main()


def nearest_neighbours(training, target, new):
    """k-NN (k = 10) on standardised inputs; a missing input is the median."""
    centre, scale = np.nanmedian(training, axis=0), np.nanstd(training, axis=0)
    fill = lambda x: np.nan_to_num((x - centre) / scale)
    return KNeighborsRegressor(10).fit(fill(training), target).predict(fill(new))


def boosting(training, target, new, seed):
    """Gradient boosting with the library's settings but for early stopping; missing inputs as they are."""
    model = HistGradientBoostingRegressor(max_iter=1000, learning_rate=0.05, early_stopping=True, random_state=seed)
    return model.fit(training, target).predict(new)


def summary(residual):
    """Median and 1.48 MAD."""
    median = np.median(residual)
    return float(median), float(1.4826 * np.median(np.abs(residual - median)))


def tensors(path):
    """The tensors of a safetensors file (32-bit floats)."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    content, start = json.loads(data[8 : 8 + length]), 8 + length
    return {
        name: np.frombuffer(data[start + entry["data_offsets"][0] : start + entry["data_offsets"][1]], "<f4").reshape(entry["shape"])
        for name, entry in content.items()
        if name != "__metadata__"
    }


def predicted_ln_flux(folder, values):
    """ln flux [N, W] of a model without skips and ξ at values in the units of files (docs/src/file-formats.md)."""
    description, weights = tomllib.loads((folder / "model.toml").read_text()), tensors(folder / "weights.safetensors")
    parameters = {parameter["name"]: parameter for parameter in description["parameter"]}
    emulator = next(effect for effect in description["effect"] if effect["kind"] == "emulator")
    assert not emulator["skip_connections"] and "extinction.variation" not in weights and emulator["activation"] == "tanh"
    standardised = lambda p, x: (x * p["model_units_per_file_unit"] - p["centre"]) / p["scale"]
    y = np.stack([standardised(parameters[label], values[label]) for label in emulator["labels"]], axis=1)
    for layer in range(len(emulator["hidden"]) + 1):
        y = y @ weights[f"emulator.layer_{layer}.weight"] + weights[f"emulator.layer_{layer}.bias"]
        y = np.tanh(y) if layer < len(emulator["hidden"]) else y
    with np.errstate(invalid="ignore", divide="ignore"):
        return y - values["extinction"][:, None] * np.exp(weights["extinction.ln_curve"]) + 2 * np.log(values["parallax"])[:, None]


def mean_ln_probability(fitted, table, chosen):
    """Mean ln p of the catalogue's labels and E (units of files) by fits: a Gaussian of both errors, and 2 % of ten times its width."""
    names = list(LABELS)
    at = [list(PARAMETERS).index(name) for name in names]
    lists = [value if value is not None else [np.nan] * 15 for value in fitted.column("covariance_triu").to_pylist()]
    covariance = np.zeros((len(lists), 5, 5))
    rows, columns = np.triu_indices(5)
    covariance[:, rows, columns] = covariance[:, columns, rows] = np.array(lists, dtype=float)
    covariance = covariance[:, at][:, :, at]
    residual = np.stack([column(fitted, name) - column(table, name) for name in names], axis=1)
    covariance += np.einsum("ni,ij->nij", np.stack([column(table, f"{name}_error") for name in names], axis=1) ** 2, np.eye(len(names)))
    scale = np.sqrt(np.einsum("nii->ni", covariance))
    keep = chosen & np.isfinite(residual).all(axis=1) & np.isfinite(scale).all(axis=1)
    correlation = (covariance / (scale[:, :, None] * scale[:, None, :]))[keep]
    pull, scale = (residual / scale)[keep], scale[keep]
    chi2 = np.einsum("ni,nij,nj->n", pull, np.linalg.inv(correlation), pull)
    norm = 0.5 * np.linalg.slogdet(correlation)[1] + np.log(scale).sum(axis=1) + 0.5 * len(names) * np.log(2 * np.pi)
    return float(np.mean(np.logaddexp(np.log(0.98) - 0.5 * chi2, np.log(0.02) - 0.005 * chi2 - len(names) * np.log(10)) - norm))


def from_photometry_alone(fitted, blind, table, validation):
    """Shares of stars with ϖ/σ > 10: their optimum among the reported ones, distances wrong by two; pulls of ϖ of fits by likelihood alone."""
    logg, parallax, error = (column(table, name) for name in ("logg", "parallax", "parallax_error"))
    known = validation & np.isfinite(logg) & (parallax > 10 * error) & np.isfinite(column(fitted, "logg"))
    flags = column(fitted, "quality_flags").astype(int)
    first, second = (np.abs(column(fitted, f"{prefix}logg") - logg) < 1 for prefix in ("", "second_"))
    wrong = np.abs(np.log(column(fitted, "parallax") / parallax)) > np.log(2)
    is_told = (flags & SECOND_OPTIMUM) != 0
    shares = {}
    for group, members in (("dwarfs", known & (logg >= GIANT)), ("giants", known & (logg < GIANT)), ("all", known)):
        share = lambda which: float(which[members].mean())
        shares[group] = [int(members.sum()), share(first), share(first | second), share(wrong), share(wrong & ~is_told), share(wrong & (flags == 0))]
    pull = (column(blind, "parallax") - parallax) / np.hypot(column(blind, "parallax_error"), error)
    flags = column(blind, "quality_flags").astype(int)
    pulls = {}
    for name, serious in (("all", SERIOUS), ("no second optimum", SERIOUS | SECOND_OPTIMUM)):
        members = validation & ((flags & serious) == 0) & np.isfinite(pull)
        pulls[name] = [int(members.sum()), *summary(pull[members])]
    return shares, pulls


def run(*arguments):
    subprocess.run([str(argument) for argument in arguments], check=True)


def main():
    global SOFTENING
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--program", type=pathlib.Path, default=pathlib.Path("target/release/photosphere"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("target/real_overlap"))
    parser.add_argument("--recipe", default="photometry-lamost", help="built-in recipe or a file")
    parser.add_argument("--included-error-floor", type=float, help="floor of the errors of magnitudes to take off, mag [the recipe's; 0: errors as the table has them]")
    parser.add_argument("--keep", action="store_true", help="do not train again where a model of that seed exists")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    recipe = subprocess.run([options.program, "recipe", "prepare-photometry-lamost"], check=True, capture_output=True, text=True).stdout
    preparation = options.out / "prepare.toml"
    recipe, of_this_file = re.subn(r"(?m)^files = .*$", lambda _: f"files = [{json.dumps(str(options.file))}]", recipe)
    if options.included_error_floor is not None:
        recipe, of_this_floor = re.subn(r"(?m)^included_error_floor = .*$", f"included_error_floor = {options.included_error_floor}", recipe)
        assert of_this_floor == 1, "prepare-photometry-lamost has one line of included_error_floor"
    assert of_this_file == 1, "prepare-photometry-lamost has one line of files"
    preparation.write_text(recipe)
    observed = options.out / "lamost.parquet"
    run(options.program, "prepare", preparation, "-o", observed, "--overwrite", "--quiet")

    table = parquet.read_table(observed)
    identifiers = table.column("source_id").to_numpy()
    flux = np.stack(table.column("flux").to_pylist()).astype(float)
    error = np.stack(table.column("flux_error").to_pylist()).astype(float)
    flux[~(np.isfinite(error) & (error < NOT_MISSING) & (flux > 0))] = np.nan
    validation = in_validation(identifiers)
    training = ~validation
    SOFTENING = np.nanmedian(np.abs(column(table, "parallax") * np.exp(-0.5 * np.log(flux[:, 0])))[training])

    values = {name: column(table, name) for name in [*LABELS, "parallax"]}
    well_measured = validation & (values["parallax"] > 20 * column(table, "parallax_error"))
    magnitudes = []
    results = {}  # (sample, label, method) -> list over seeds of (n, bias, scatter)
    samples, pulls, probabilities, alone = {}, {}, [], []
    for seed in range(1, options.seeds + 1):
        model, catalogue = options.out / f"model-{seed}", options.out / f"fit-{seed}.parquet"
        if not (options.keep and (model / "model.toml").exists()):
            run(options.program, "train", options.recipe, observed, "-o", model, "--seed", seed, "--overwrite", "--quiet")
        run(options.program, "fit", model, observed, "-o", catalogue, "--overwrite", "--quiet")
        residual = (2.5 / np.log(10)) * (predicted_ln_flux(model, values)[:, 0] - np.log(flux[:, 0]))[well_measured]
        residual = residual[np.isfinite(residual)]
        magnitudes.append((len(residual), *summary(residual)))
        fitted = parquet.read_table(catalogue)
        order = {identifier: row for row, identifier in enumerate(fitted.column("source_id").to_pylist())}
        rows = np.array([order[identifier] for identifier in identifiers])
        if not samples:
            samples = {
                "all stars": validation & np.isfinite(column(fitted, "teff")[rows]),
                "basic cut": validation & (column(fitted, "quality_flags")[rows] < BASIC_CUT),
            }
        likelihood = options.out / f"likelihood-{seed}.parquet"
        run(options.program, "fit", model, observed, "-o", likelihood, "--likelihood-only", "--overwrite", "--quiet")
        blind = parquet.read_table(likelihood)
        probabilities.append(mean_ln_probability(blind.take(rows), table, validation))
        catalogues = []
        for name, words in (("alone", []), ("alone-likelihood", ["--likelihood-only"])):
            path = options.out / f"{name}-{seed}.parquet"
            run(options.program, "fit", model, observed, "-o", path, "--constraint", "none", *words, "--overwrite", "--quiet")
            catalogues.append(parquet.read_table(path).take(rows))
        alone.append(from_photometry_alone(*catalogues, table, validation))
        good = validation & (column(blind, "quality_flags")[rows] < BASIC_CUT)
        for label in LABELS:
            truth = column(table, label)
            known = np.isfinite(truth)
            error = np.hypot(column(blind, f"{label}_error")[rows], column(table, f"{label}_error"))
            pull = ((column(blind, label)[rows] - truth) / error)[good & known]
            pulls.setdefault(label, []).append((*summary(pull), np.mean(np.abs(pull) < 1), np.mean(np.abs(pull) < 1.96), len(pull)))
            methods = {"fit": column(fitted, label)[rows][validation]}
            for name, distance in (("ϖ", "parallax"), ("M_G", "magnitude")):
                x = inputs(table, flux, distance)
                teach = training & known
                if seed == 1:
                    methods[f"k-NN, {name}"] = nearest_neighbours(x[teach], truth[teach], x[validation])
                methods[f"boosting, {name}"] = boosting(x[teach], truth[teach], x[validation], seed)
            for sample, members in samples.items():
                keep = (members & known)[validation]
                for method, predicted in methods.items():
                    entry = (int(keep.sum()), *summary((predicted - truth[validation])[keep]))
                    results.setdefault((sample, label, method), []).append(entry)

    print(f"\nscikit-learn {sklearn.__version__}; median of residuals and 1.48 MAD, mean ± standard deviation over seeds\n")
    report = []
    for sample in samples:
        print(f"| {sample} | " + " | ".join(f"{label} ({unit})" for label, unit in LABELS.items()) + " |")
        print("|---" * (len(LABELS) + 1) + "|")
        for method in dict.fromkeys(key[2] for key in results):
            cells = []
            for label in LABELS:
                entries = np.array(results[(sample, label, method)])
                digits = 0 if label == "teff" else 4 if label == "extinction" else 3
                spread = f" ± {entries[:, 2].std(ddof=1):.{digits}f}" if len(entries) > 1 else ""
                cells.append(f"{entries[:, 1].mean():+.{digits}f}, {entries[:, 2].mean():.{digits}f}{spread}")
                report.append({"sample": sample, "label": label, "method": method, "seeds": entries.tolist()})
            print(f"| {method} | " + " | ".join(cells) + " |")
        stars = results[(sample, "teff", "fit")][0][0]
        print(f"\n{stars} stars.\n")
    print("Pulls of fits by likelihood alone (errors of the catalogue's labels included), validation stars in their basic cut\n")
    print("| | stars | median | MAD-σ | within 1 | within 1.96 |\n|---|---|---|---|---|---|")
    for label, entries in pulls.items():
        mean, spread = np.mean(entries, axis=0), np.std(entries, axis=0, ddof=1 if len(entries) > 1 else 0)
        cells = [f"{mean[i]:+.2f} ± {spread[i]:.2f}" if i == 0 else f"{mean[i]:.3f} ± {spread[i]:.3f}" for i in range(4)]
        print(f"| {label} | {mean[4]:.0f} | " + " | ".join(cells) + " |")
    several = 1 if len(probabilities) > 1 else 0
    told = lambda values, digits: f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=several):.{digits}f}"
    print(f"\nMean ln p of a validation star's labels and E: {told(probabilities, 3)}; by seed", ", ".join(f"{value:.3f}" for value in probabilities))
    print("\nFrom photometry alone, validation stars with ϖ/σ > 10\n")
    print("| | stars | log g of the first optimum within 1 dex | of the first or second | distance wrong by two | without a second optimum | without any flag |")
    print("|---|---|---|---|---|---|---|")
    for group in alone[0][0]:
        entries = np.array([shares[group] for shares, _ in alone])
        print(f"| {group} | {entries[:, 0].mean():.0f} | " + " | ".join(told(entries[:, k], 3) for k in range(1, entries.shape[1])) + " |")
    for name in alone[0][1]:
        entries = np.array([of_parallax[name] for _, of_parallax in alone])
        stars, median, scatter = entries[:, 0].mean(), told(entries[:, 1], 2), told(entries[:, 2], 2)
        print(f"\nPulls of ϖ by likelihood alone, {name}: {stars:.0f} stars, median {median}, MAD-σ {scatter}")
    print()
    magnitudes = np.array(magnitudes)
    spread = magnitudes[:, 1:].std(axis=0, ddof=1) if len(magnitudes) > 1 else np.zeros(2)
    print(f"M_G at the labels of the catalogue less that of the parallax (ϖ/σ > 20, {magnitudes[0, 0]:.0f} stars): median", end=" ")
    print(f"{magnitudes[:, 1].mean():+.3f} ± {spread[0]:.3f} mag, 1.48 MAD {magnitudes[:, 2].mean():.3f} ± {spread[1]:.3f} mag;", end=" ")
    print("by seed " + ", ".join(f"{value:.3f}" for value in magnitudes[:, 2]))
    report.append({"sample": "parallax_over_error > 20", "label": "M_G", "method": "catalogue labels", "seeds": magnitudes.tolist()})
    (options.out / "results.json").write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
