#!/usr/bin/env python3
"""T_eff, log g and [Fe/H] of real LAMOST spectra by a direct network: preprocessing, principal components, networks, beside
simple regressions.

    scripts/direct_lamost.py FOLDER --output FOLDER [--program target/release/photosphere] [--seeds 5] [--components 12]

FOLDER holds the spectra (spec-*.fits.gz, R = 1800) and labels_3165.csv. `prepare` puts them on one grid in the rest frame, as
fluxes (then eq. 1 of Li et al. 2025: mean subtracted, signed logarithm, unit norm) and divided by a pseudo-continuum; `train`
learns components and networks. The stars are divided in five by a hash of their identifiers, and each fifth is predicted by
networks that learned everything (components too) from the other four; so every star is judged, and none by what it taught.
That is done for several seeds; means and standard deviations over the seeds are printed, and never the best of them. k-NN,
linear regression and boosting (scikit-learn) have the same components of the same stars. Needs numpy, pyarrow, scikit-learn
and matplotlib.
"""

import argparse
import csv
import json
import pathlib
import subprocess

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pyarrow
import pyarrow.parquet as parquet
from sklearn.decomposition import PCA
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsRegressor

from payne_files import robust_scatter

LABELS = {"teff": ("T_eff (K)", 0), "logg": ("log g", 3), "feh": ("[Fe/H]", 3)}
FOLDS = 5
# Where lines of metals are many, K.
COOL = (4350, 6650)
PREPARE = """labels = ["teff", "feh", "logg"]
[spectra]
files = ["{spectra}"]
pattern = "spec-*.fits.gz"
grid = {{ log = [3850.0, 8900.0, 4e-4] }}
mask = ["sky", "telluric"]
identifiers = {{ files = ["{labels}"], key = "filename", id = "source_id" }}
[spectra.continuum]
method = "{method}"
kernel = 100.0
mask = ["balmer", "dib"]
[[tables]]
files = ["{labels}"]
"""
RECIPE = """kind = "regression"
description = "labels of LAMOST spectra, {name}"
seed = {seed}
layer = [{{ layer = "linear", outputs = 16 }}, {{ layer = "tanh" }}]
[data]
validation_fraction = 0.0
held_out_fraction = 0.2
[inputs]
interpolate = true
most_missing = 0.6
step = [{steps}{{ step = "pca", components = {components} }}, {{ step = "standardise" }}]
[target]
of = "labels"
names = ["teff", "logg", "feh"]
[training]
members = 5
batch = 16
optimiser = {{ method = "adam_w", weight_decay = 0.1 }}
plan = {{ epochs = 300, learning_rate = 3e-3, schedule = {{ shape = "cosine", end_fraction = 0.01 }} }}
[errors]
copies = 20
[baselines]
linear = false
nearest_neighbours = 0
boosting = false
"""
EQUATION_1 = '{ step = "subtract_mean" }, { step = "signed_logarithm" }, { step = "unit_norm" }, '


def folds(identifiers):
    """Fifths by photosphere's hash of identifiers (SplitMix64, src/observations/split.rs): the first are validation stars."""
    x = identifiers.astype(np.int64).view(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((x ^ (x >> np.uint64(31))).astype(float) / 2.0**64 * FOLDS).astype(int)


def run(*arguments):
    subprocess.run([str(argument) for argument in arguments], check=True, capture_output=True, text=True)


def survey_labels(folder, output):
    """The survey's labels of the spectra that are there, as a table to be joined."""
    names = {path.name.removesuffix(".gz") for path in folder.glob("spec-*.fits.gz")}
    rows = [row for row in csv.DictReader(open(folder / "labels_3165.csv")) if row["filename"] in names]
    path = output / "labels.csv"
    with open(path, "w") as file:
        file.write("source_id,filename,teff,teff_error,logg,logg_error,feh,feh_error\n")
        for row in rows:
            file.write(",".join([row["obsid"], row["filename"], *(row[f"{name}{part}"] for name in LABELS for part in ("", "_err"))]) + "\n")
    return path, {int(row["obsid"]): row["subclass"] for row in rows}


def lists(table, name):
    return np.stack(table.column(name).to_numpy()).astype(float)


def numbers(table, name):
    return table.column(name).to_pandas().to_numpy(dtype=float)


def filled(flux, wavelength):
    """Missing pixels between two others by the line between them, as `interpolate` does it."""
    rows = flux.copy()
    for row in rows:
        present = np.isfinite(row)
        row[~present] = np.interp(wavelength[~present], wavelength[present], row[present])
    return rows


def equation_1(flux):
    flux = flux - flux.mean(1, keepdims=True)
    flux = np.sign(flux) * np.log1p(np.abs(flux))
    return flux / np.sqrt((flux**2).sum(1, keepdims=True))


def regressions(components, labels, training, test, seed):
    """Predictions of the fold by simple regressions of the same standardised components."""
    mean, deviation = components[training].mean(0), components[training].std(0)
    inputs = (components - mean) / deviation
    methods = {
        "k-NN (5)": KNeighborsRegressor(5),
        "linear": LinearRegression(),
        "boosting": GradientBoostingRegressor(n_estimators=200, max_depth=2, learning_rate=0.05, subsample=0.7, random_state=seed),
    }
    for name, method in methods.items():
        yield name, np.stack([method.fit(inputs[training], labels[training, k]).predict(inputs[test]) for k in range(len(LABELS))], 1)


def line(name, found, labels, ratio_pulls=None):
    """Per label mean over the seeds, and their spread, of bias, scatter, root mean square; and pulls."""
    for k, (label, (title, digits)) in enumerate(LABELS.items()):
        per_seed = [[np.median(d), robust_scatter(d), np.sqrt(np.mean(d**2))] for d in (seed[:, k] - labels[:, k] for seed in found)]
        mean, spread = np.mean(per_seed, 0), np.std(per_seed, 0, ddof=1) if len(found) > 1 else np.zeros(3)
        cells = " | ".join(f"{m:+.{digits}f} ± {s:.{digits}f}" if i == 0 else f"{m:.{digits}f} ± {s:.{digits}f}" for i, (m, s) in enumerate(zip(mean, spread)))
        pulls = "" if ratio_pulls is None else f"{np.mean([robust_scatter(p[:, k]) for p in ratio_pulls]):.2f}"
        print(f"| {name} | {title} | {cells} | {pulls} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--program", type=pathlib.Path, default=pathlib.Path("target/release/photosphere"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--components", type=int, default=12)
    options = parser.parse_args()
    output = options.output
    output.mkdir(parents=True, exist_ok=True)
    labels_file, classes = survey_labels(options.folder, output)
    results, figures = {}, {}
    for name, method, steps in (("eq. 1", "none", EQUATION_1), ("continuum divided out", "gaussian", "")):
        path = output / f"{method}.parquet"
        (output / f"{method}.toml").write_text(PREPARE.format(spectra=options.folder, labels=labels_file, method=method))
        run(options.program, "prepare", output / f"{method}.toml", "-o", path, "--overwrite", "--quiet")
        table = parquet.read_table(path)
        labels, errors = (np.stack([numbers(table, f"{label}{part}") for label in LABELS], 1) for part in ("", "_error"))
        usable = np.isfinite(labels).all(1) & (np.isfinite(lists(table, "flux")).mean(1) > 0.4)
        table = table.filter(pyarrow.array(usable))
        labels, errors = labels[usable], errors[usable]
        ids = numbers(table, "source_id").astype(np.int64)
        fold = folds(ids)
        wavelength = np.array(json.loads(table.schema.metadata[b"wavelengths"]))
        flux = lists(table, "flux")
        steady = np.isfinite(flux).any(0)
        rows = filled(flux[:, steady], wavelength[steady])
        rows = equation_1(rows) if steps else rows
        print(f"{name}: {len(ids)} stars with labels and enough flux, {steady.sum()} pixels, folds of {np.bincount(fold).tolist()}")
        found = {"network": np.full((options.seeds, *labels.shape), np.nan)}
        own = np.full_like(found["network"], np.nan)
        for k in range(FOLDS):
            training, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
            parquet.write_table(table.take(training), output / "training.parquet")
            parquet.write_table(table.take(test), output / "test.parquet")
            pca = PCA(options.components, svd_solver="full").fit(rows[training])
            components = pca.transform(rows)
            for seed in range(options.seeds):
                recipe = RECIPE.format(name=name, seed=seed + 1, steps=steps, components=options.components)
                (output / "recipe.toml").write_text(recipe)
                run(options.program, "train", output / "recipe.toml", output / "training.parquet", "-o", output / "model", "--overwrite", "--quiet")
                run(options.program, "fit", output / "model", output / "test.parquet", "-o", output / "catalogue.parquet", "--overwrite", "--quiet")
                catalogue = parquet.read_table(output / "catalogue.parquet")
                assert (numbers(catalogue, "source_id").astype(np.int64) == ids[test]).all()
                found["network"][seed, test] = np.stack([numbers(catalogue, label) for label in LABELS], 1)
                own[seed, test] = np.stack([numbers(catalogue, f"{label}_error") for label in LABELS], 1)
                for method_name, predicted in regressions(components, labels, training, test, seed):
                    found.setdefault(method_name, np.full_like(own, np.nan))[seed, test] = predicted
        assert np.isfinite(found["network"]).all()
        results[name] = (found, own, labels, errors)
        figures[name] = (wavelength, flux, steady, rows, PCA(options.components, svd_solver="full").fit(rows), ids)
    for low, high in ((0, 1e6), COOL):
        inside = {name: (labels[:, 0] > low) & (labels[:, 0] < high) for name, (_, _, labels, _) in results.items()}
        print(f"\n{sum(inside['eq. 1'])} stars of {low} to {high} K\n\n| inputs, method | label | bias | 1.48 MAD | r.m.s. | pulls |\n|---|---|---|---|---|---|")
        for name, (found, own, labels, errors) in results.items():
            of = inside[name]
            for method, predictions in found.items():
                pulls = ((predictions - labels) / np.hypot(own, errors))[:, of] if method == "network" else None
                line(f"{name}, {method}", predictions[:, of], labels[of], pulls)
    print("scatter of the labels themselves:", ", ".join(f"{title} {robust_scatter(labels[:, k]):.{digits}f}" for k, (title, digits) in enumerate(LABELS.values())))
    print("median error of the survey's labels:", ", ".join(f"{title} {np.median(errors[:, k]):.{digits}f}" for k, (title, digits) in enumerate(LABELS.values())))
    of_labels(results, classes, figures, output / "labels.png")
    of_spectra(figures, classes, output / "preprocessing.png")


def of_labels(results, classes, figures, path):
    """Predictions (mean of the seeds) against the survey's labels."""
    figure, axes = plt.subplots(len(results), 3, figsize=(11, 3.6 * len(results)), squeeze=False)
    for row, (name, (found, own, labels, errors)) in zip(axes, results.items()):
        kinds = np.array([classes[i][:1] for i in figures[name][5]])
        mean, error = found["network"].mean(0), own.mean(0)
        for k, (axis, (title, _)) in enumerate(zip(row, LABELS.values())):
            for kind, colour in zip("AFGK", ("C0", "C1", "C2", "C3")):
                of = kinds == kind
                axis.errorbar(labels[of, k], mean[of, k], yerr=error[of, k], fmt="o", ms=3.5, lw=0.6, color=colour, label=kind)
            ends = [labels[:, k].min(), labels[:, k].max()]
            axis.plot(ends, ends, color="black", lw=0.8)
            axis.set_xlabel(f"{title}, LAMOST")
            axis.set_ylabel(f"network ({name})")
            axis.set_title(f"scatter {robust_scatter(mean[:, k] - labels[:, k]):.3g}", fontsize=9)
    axes[0, 0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def of_spectra(figures, classes, path):
    """A hot and a cool star as read, preprocessed, and by their components."""
    figure, axes = plt.subplots(len(figures), 2, figsize=(12, 3.4 * len(figures)), squeeze=False)
    for row, (name, (wavelength, flux, steady, rows, pca, ids)) in zip(axes, figures.items()):
        reconstructed = pca.inverse_transform(pca.transform(rows))
        for axis, kind in zip(row, "AG"):
            star = next(k for k, i in enumerate(ids) if classes[i].startswith(kind))
            axis.plot(wavelength[steady], rows[star], lw=0.7, color="black", label="preprocessed")
            axis.plot(wavelength[steady], reconstructed[star], lw=0.9, color="C3", label=f"{pca.n_components} components")
            axis.plot(wavelength[steady], rows[star] - reconstructed[star] + rows[star].min() - 3 * rows[star].std(), lw=0.5, color="C0", label="difference, shifted")
            axis.set_title(f"{ids[star]}, {classes[ids[star]]}: {name}", fontsize=9)
            axis.set_xlabel("wavelength (vacuum, A)")
    axes[0, 0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
