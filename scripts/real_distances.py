#!/usr/bin/env python3
"""Luminosities, distances and binaries of two real catalogues by the direct path, beside simple regressions.

    scripts/real_distances.py FOLDER [--program target/release/photosphere] [--seeds 5] [--out target/real_distances]

FOLDER holds apogee_hipparcos_3244.fits.gz (APOGEE labels, 2MASS magnitudes, Hipparcos parallaxes) and gaia_lamost_1838.csv
(LAMOST labels, Gaia DR3 magnitudes and parallaxes of more than five errors). For each, and for each seed, an ensemble of
networks learns the luminosity from T_eff, log g, metallicity and a colour by its loss in the parallax, on four fifths of the
stars (`train`'s split by identifier); `fit` predicts the last fifth and `distance` makes distances and tests of binarity.

Printed are: bias, scatter and pulls of all methods on the same stars; what 68 % intervals hold when good parallaxes are
made worse, for parallaxes alone and with the luminosity; stars that do not fit, with what the catalogues say of them; and
whether `distance` says and flags that the zero point of these parallaxes cannot be known. Needs numpy, astropy, pyarrow
and scikit-learn.
"""

import argparse
import json
import pathlib
import subprocess

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import sklearn
from astropy.table import Table
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsRegressor, NearestNeighbors

from real_overlap import in_validation

NO_ZERO_POINT = 1 << 4  # bits of distance's quality_flags (docs/src/distance.md)
DISAGREE = 1 << 3
STAR_BAD = 1 << 23  # of APOGEE's ASPCAPFLAG
RECIPE = """kind = "regression"
description = "{magnitude} from spectroscopic labels and a colour, by the loss in the parallax"
layer = [{{ layer = "linear", outputs = 32 }}, {{ layer = "tanh" }}, {{ layer = "linear", outputs = 32 }}, {{ layer = "tanh" }}]
[inputs]
step = [{{ step = "standardise" }}]
[target]
of = "luminosity"
magnitude = "{magnitude}"
[training]
batch = 64
plan = {{ epochs = 150, learning_rate = 3e-3, schedule = {{ shape = "cosine", end_fraction = 0.01 }}, patience = 60 }}
"""
DISTANCES = """[columns]
magnitude = "{magnitude}"
magnitude_error = "none"
extinction = "none"
absolute_magnitude = "{absolute}"
absolute_magnitude_error = "{absolute_error}"
[options]
prior = {{ kind = "exponential_density", scale_length = {scale_length:.3f} }}
{zero_point}
"""


def doubles(table, name):
    return np.asarray(table[name], dtype=float)


def first_of_each(identifiers, good):
    """Of stars that occur twice, the first good one."""
    rows = np.flatnonzero(good)
    return rows[np.unique(identifiers[rows], return_index=True)[1]]


class Sample:
    """A catalogue: labels and colour with errors, magnitude, parallax, and what is known of the stars' multiplicity."""

    def __init__(self, name, magnitude, identifiers, inputs, errors, apparent, parallax, parallax_error, position, remarks, rows):
        self.name, self.magnitude = name, magnitude
        self.identifiers = identifiers[rows].astype(np.int64)
        self.inputs, self.errors = np.stack(inputs, 1)[rows], np.tile(errors, (len(rows), 1))
        self.apparent, self.parallax, self.parallax_error = apparent[rows], parallax[rows], parallax_error[rows]
        self.position = [coordinate[rows] for coordinate in position]
        self.remarks = {remark: is_so[rows] for remark, is_so in remarks.items()}
        self.validation = in_validation(self.identifiers)
        # The prior of the distances has the median of the training stars with good parallaxes: 2.674 scale lengths.
        good = ~self.validation & (self.parallax > 10 * self.parallax_error)
        self.scale_length = float(np.median(1 / self.parallax[good])) / 2.674

    def write(self, path, parallax=None, parallax_error=None):
        """An observation file whose entries are the labels and the colour."""
        lists = lambda x: pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(x.astype("f4").ravel()), x.shape[1])
        table = pyarrow.table(
            {
                "source_id": self.identifiers,
                "flux": lists(self.inputs),
                "flux_error": lists(self.errors),
                "parallax": self.parallax if parallax is None else parallax,
                "parallax_error": self.parallax_error if parallax_error is None else parallax_error,
                self.magnitude: self.apparent,
                "ra": self.position[0],
                "dec": self.position[1],
            }
        )
        names = ["teff_kK", "logg", "metallicity", "colour"]
        parquet.write_table(table.replace_schema_metadata({"wavelengths": "[1, 2, 3, 4]", "bands": json.dumps(names)}), path)


def apogee_hipparcos(path):
    table = Table.read(path)
    labels, k, j = np.asarray(table["FPARAM"], dtype=float), doubles(table, "K"), doubles(table, "J")
    error, parallax_error = doubles(table, "K_ERR"), doubles(table, "e_Plx")
    good = (labels[:, 0] > 3000) & (labels[:, 0] < 8000) & (labels[:, 1] > -1) & (labels[:, 1] < 6)
    # Half of the others are hot telluric standards, whose labels are at the ends of a grid of cooler stars.
    good &= np.asarray(table["ASPCAPFLAG"], dtype=np.int64) & STAR_BAD == 0
    good &= (k > 0) & (j > 0) & (error > 0) & (error < 0.1) & (parallax_error > 0)
    scatter, visits = doubles(table, "VSCATTER"), doubles(table, "NVISITS")
    remarks = {
        # Hipparcos: solutions other than of five parameters, more components than one, bad fits; APOGEE: velocities.
        "component or orbit in Hipparcos": (doubles(table, "Nc") > 1) | ~np.isin(np.asarray(table["Sn"], dtype=int) % 10, [5]),
        "bad astrometric fit (F2 > 5)": doubles(table, "F2") > 5,
        "velocity varies (> 1 km/s)": (visits > 1) & (scatter > 1.0),
        "S/N < 50": doubles(table, "SNR") < 50,
    }
    position = [doubles(table, "RA"), doubles(table, "DEC")]
    identifiers = np.asarray(table["HIP"], dtype=np.int64)
    inputs = [labels[:, 0] / 1e3, labels[:, 1], labels[:, 3], j - k]
    rows = first_of_each(identifiers, good)
    return Sample("apogee_hipparcos", "k_mag", identifiers, inputs, [0.05, 0.1, 0.05, 0.03], k, doubles(table, "Plx"), parallax_error, position, remarks, rows)


def gaia_lamost(path):
    table = Table.read(path, format="csv")
    parallax = doubles(table, "parallax")
    inputs = [doubles(table, "teff") / 1e3, doubles(table, "logg"), doubles(table, "feh"), doubles(table, "bp_rp")]
    identifiers = np.asarray(table["source_id"], dtype=np.int64)
    remarks = {
        "RUWE > 1.2 (the catalogue ends at 1.4)": doubles(table, "ruwe") > 1.2,
        "match beyond 0.3 arcsec": doubles(table, "coord_match_sep_arcsec") > 0.3,
        "log g < 3.5 (giant by its label)": inputs[1] < 3.5,
    }
    position = [doubles(table, "ra_gaia"), doubles(table, "dec_gaia")]
    rows = first_of_each(identifiers, np.isfinite(np.stack(inputs)).all(0))
    apparent, error = doubles(table, "phot_g_mean_mag"), parallax / doubles(table, "parallax_over_error")
    return Sample("gaia_lamost", "phot_g_mean_mag", identifiers, inputs, [0.08, 0.1, 0.08, 0.02], apparent, parallax, error, position, remarks, rows)


def run(*arguments, say=False):
    done = subprocess.run([str(argument) for argument in arguments], check=True, capture_output=True, text=True)
    return done.stderr if say else done.stdout


def column(table, name):
    return table.column(name).to_pandas().to_numpy(dtype=float)


def in_order(path, identifiers):
    """A catalogue's rows in the order of the stars."""
    table = parquet.read_table(path)
    order = {identifier: row for row, identifier in enumerate(table.column("source_id").to_pylist())}
    return table.take([order[identifier] for identifier in identifiers.tolist()])


def mad(x):
    return float(1.4826 * np.median(np.abs(x - np.median(x))))


def predicted_parallax(magnitude, apparent):
    return 10 ** (0.2 * (magnitude - apparent) + 2)


def baselines(sample, seed):
    """M of the validation stars by other regressions, taught by the other stars: of labels of 1/ϖ with ϖ > 5 errors, and a
    mean of luminosities weighted by the errors of all parallaxes."""
    teach = ~sample.validation
    centre, scale = sample.inputs[teach].mean(0), sample.inputs[teach].std(0)
    x = (sample.inputs - centre) / scale
    good = teach & (sample.parallax > 5 * sample.parallax_error)
    with np.errstate(invalid="ignore", divide="ignore"):
        absolute = sample.apparent - 10 + 5 * np.log10(sample.parallax)
    new = x[sample.validation]
    found = {}
    if seed == 1:
        found["linear, M of 1/ϖ"] = LinearRegression().fit(x[good], absolute[good]).predict(new)
        found["k-NN, M of 1/ϖ"] = KNeighborsRegressor(10).fit(x[good], absolute[good]).predict(new)
        near = NearestNeighbors(n_neighbors=10).fit(x[teach]).kneighbors(new)[1]
        root_flux = 10 ** (2 - 0.2 * sample.apparent[teach])  # ϖ = label · root_flux
        label = sample.parallax[teach] / root_flux
        floor = 0.12 * np.abs(np.median(label[near], axis=1))[:, None]
        weight = 1 / ((sample.parallax_error[teach] / root_flux)[near] ** 2 + floor**2)
        found["k-NN, mean of ϖ 10^(m/5−2)"] = 5 * np.log10(np.maximum((weight * label[near]).sum(1) / weight.sum(1), 1e-6))
    boosting = HistGradientBoostingRegressor(max_iter=300, learning_rate=0.05, early_stopping=True, random_state=seed)
    found["boosting, M of 1/ϖ"] = boosting.fit(x[good], absolute[good]).predict(new)
    return found


def figures(sample, magnitude, error, chosen):
    """Of magnitudes of the validation stars: bias and 1.48 MAD where the parallax is to be good, and of all stars the median and
    1.48 MAD and root mean square (as 5 beyond 5) of the pulls of the parallax, with the error of the magnitude if there is one."""
    apparent, parallax, parallax_error = (x[sample.validation] for x in (sample.apparent, sample.parallax, sample.parallax_error))
    predicted = predicted_parallax(magnitude, apparent)
    keep = chosen & (parallax > 0)
    residual = magnitude[keep] - (apparent[keep] - 10 + 5 * np.log10(parallax[keep]))
    spectroscopic = np.zeros_like(predicted) if error is None else 0.2 * np.log(10) * error * predicted
    pulls = (predicted - parallax) / np.hypot(spectroscopic, parallax_error)
    return [np.median(residual), mad(residual), np.mean(np.abs(residual) < 0.75), np.median(pulls), mad(pulls), np.mean(np.minimum(np.abs(pulls), 5) ** 2) ** 0.5]


def distances(options, sample, folder, catalogue, name, columns=None, zero_point=""):
    """Runs `distance`, and returns its catalogue in the order of the stars, and what it said."""
    absolute = columns or ("absolute_magnitude", "absolute_magnitude_error")
    config, output = folder / f"{name}.toml", folder / f"{name}.parquet"
    config.write_text(
        DISTANCES.format(magnitude=sample.magnitude, absolute=absolute[0], absolute_error=absolute[1], zero_point=zero_point, scale_length=sample.scale_length)
    )
    said = run(options.program, "distance", catalogue, "-o", output, "--config", config, "--overwrite", say=True)
    return in_order(output, sample.identifiers), said


def coverage(options, sample, folder, model, members, seed):
    """Good parallaxes as truth, and parallaxes made worse to three errors: |ln d| error and share of 68 % intervals that hold
    the truth, of the parallax alone and with the luminosity."""
    noise = np.random.default_rng(seed)
    error = np.maximum(sample.parallax / 3, sample.parallax_error)
    worse = sample.parallax + noise.normal(size=len(error)) * np.sqrt(error**2 - sample.parallax_error**2)
    observed, catalogue = folder / "worse.parquet", folder / "worse-fit.parquet"
    sample.write(observed, worse, error)
    run(options.program, "fit", model, observed, "-o", catalogue, "--keep", f"parallax,parallax_error,{sample.magnitude},ra,dec", "--overwrite", "--quiet")
    found = {}
    both = ("absolute_magnitude", "absolute_magnitude_error")
    for name, columns in (("parallax alone", ("none", "none")), ("with the luminosity", both)):
        table, _ = distances(options, sample, folder, catalogue, "worse-distances", columns, 'zero_point = { kind = "none" }')
        low, middle, high = (column(table, f"distance_{end}")[members] for end in ("low", "median", "high"))
        truth = 1 / sample.parallax[members]
        given = np.isfinite(middle)
        offset = np.log(middle / truth)[given]
        inside = ((low <= truth) & (truth <= high))[given]
        found[name] = [given.sum(), np.median(offset), mad(offset), np.mean(offset**2) ** 0.5, inside.mean()]
    return found


def outliers(sample, table, catalogue):
    """Prints validation stars by what the tests of binarity say, beside what the catalogues know; and those that fit worst."""
    members = np.flatnonzero(sample.validation)
    excess, probability = column(table, "parallax_excess")[members], column(table, "binary_probability")[members]
    is_binary = np.array([flag is True for flag in table.column("is_binary").to_pylist()])[members]
    flags = np.array(table.column("quality_flags").to_pylist())[members]
    fainter = is_fainter(table)[members]
    mixture = (probability > 0.7) & fainter
    # What single stars with Gaussian errors would show on the other side, where no binary is.
    print(f"\n{sample.name}: {len(members)} validation stars; S/N_Δϖ > 2: {is_binary.sum()}, < −2: {(excess < -2).sum()};", end=" ")
    print(f"P_binary > 0.7: {mixture.sum()}; more than 5 errors apart (bit 3): {(flags & DISAGREE > 0).sum()}")
    print("| of these, share with | all | S/N_Δϖ > 2 | P_binary > 0.7 | S/N_Δϖ < −2 |\n|---|---|---|---|---|")
    for remark, is_so in sample.remarks.items():
        is_so = is_so[members]
        share = lambda chosen: f"{100 * is_so[chosen].mean():.0f} % ({is_so[chosen].sum()} of {chosen.sum()})" if chosen.any() else "–"
        print(f"| {remark} | {share(np.ones(len(members), bool))} | {share(is_binary)} | {share(mixture)} | {share(excess < -2)} |")
    geometric, predicted = column(table, "geometric_absolute_magnitude")[members], column(table, "absolute_magnitude")[members]
    print("\n| star | T_eff | log g | [M/H] | ϖ ± | M predicted | M of 1/ϖ | S/N_Δϖ | P_binary | remarks |\n|---|---|---|---|---|---|---|---|---|---|")
    for worst in np.argsort(-np.abs(np.nan_to_num(excess)))[:15]:
        star = members[worst]
        said = [remark for remark, is_so in sample.remarks.items() if is_so[star]]
        outside = column(catalogue, "quality_flags")[star].astype(int) & (1 << 17)
        said += ["outside the domain of training"] if outside else []
        teff, logg, metallicity, _ = sample.inputs[star]
        print(
            f"| {sample.identifiers[star]} | {1e3 * teff:.0f} | {logg:.2f} | {metallicity:+.2f} | {sample.parallax[star]:.3f} ± {sample.parallax_error[star]:.3f} | "
            f"{predicted[worst]:.2f} | {geometric[worst]:.2f} | {excess[worst]:+.1f} | {probability[worst]:.2f} | {'; '.join(said)} |"
        )


def is_fainter(table):
    with np.errstate(invalid="ignore"):
        return column(table, "absolute_magnitude") > column(table, "geometric_absolute_magnitude")


def study(options, sample):
    folder = options.out / sample.name
    folder.mkdir(parents=True, exist_ok=True)
    observed, recipe = folder / "observations.parquet", folder / "recipe.toml"
    sample.write(observed)
    recipe.write_text(RECIPE.format(magnitude=sample.magnitude))
    results, covered, first = {}, {}, None
    for seed in range(1, options.seeds + 1):
        model, catalogue = folder / f"model-{seed}", folder / f"fit-{seed}.parquet"
        if not (options.keep and (model / "model.toml").exists()):
            run(options.program, "train", recipe, observed, "-o", model, "--seed", seed, "--overwrite", "--quiet")
        keep = f"parallax,parallax_error,{sample.magnitude},ra,dec"
        run(options.program, "fit", model, observed, "-o", catalogue, "--keep", keep, "--overwrite", "--quiet")
        fitted = in_order(catalogue, sample.identifiers)
        magnitude = column(fitted, "absolute_magnitude")[sample.validation]
        error = column(fitted, "absolute_magnitude_error")[sample.validation]
        if first is None:
            predicted = predicted_parallax(magnitude, sample.apparent[sample.validation])
            chosen = np.isfinite(magnitude) & (predicted > 10 * sample.parallax_error[sample.validation])
            table, said = distances(options, sample, folder, catalogue, "distances")
            flags = np.array(table.column("quality_flags").to_pylist())
            with_parallax = np.isfinite(column(table, "corrected_parallax"))
            assert "zero point of its parallaxes is not known" in said, said
            assert (flags[with_parallax] & NO_ZERO_POINT > 0).all() and np.isnan(column(table, "parallax_zero_point")).all()
            first = (table, fitted, said)
        methods = {"networks": (magnitude, error)} | {name: (m, None) for name, m in baselines(sample, seed).items()}
        for name, (m, e) in methods.items():
            results.setdefault(name, []).append(figures(sample, m, e, chosen))
        members = np.flatnonzero(sample.validation & (sample.parallax > 10 * sample.parallax_error))
        for name, row in coverage(options, sample, folder, model, members, seed).items():
            covered.setdefault(name, []).append(row)

    negative, good = (sample.parallax < 0).mean(), (sample.parallax > 10 * sample.parallax_error).mean()
    print(f"\n## {sample.name}: {len(sample.identifiers)} stars, {100 * negative:.1f} % of the parallaxes negative, {100 * good:.0f} % above ten errors")
    print("\n" + next(line for line in first[2].splitlines() if "zero point" in line))
    print(f"\nPulls of {sample.validation.sum()} validation stars; M of the {chosen.sum()} whose predicted parallax is above ten errors\n")
    print("| | median M − M(1/ϖ) (mag) | 1.48 MAD | within 0.75 mag | pulls of ϖ: median | 1.48 MAD | root of mean square |\n|---|---|---|---|---|---|---|")
    for name, rows in results.items():
        rows = np.array(rows)
        spread = rows.std(0, ddof=1) if len(rows) > 1 else np.zeros(6)
        cells = [f"{mean:+.3f}" if k in (0, 3) else f"{mean:.3f}" for k, mean in enumerate(rows.mean(0))]
        print(f"| {name} | " + " | ".join(cell + (f" ± {s:.3f}" if len(rows) > 1 else "") for cell, s in zip(cells, spread)) + " |")
    print("\nParallaxes above ten errors made as bad as three errors; the first ones are the truth\n")
    print("| | stars | median ln(d/truth) | 1.48 MAD | root of mean square | in 68 % |\n|---|---|---|---|---|---|")
    for name, rows in covered.items():
        rows = np.array(rows)
        spread = rows.std(0, ddof=1) if len(rows) > 1 else np.zeros(5)
        print(f"| {name} | {rows[0, 0]:.0f} | " + " | ".join(f"{rows.mean(0)[k]:+.3f} ± {spread[k]:.3f}" for k in (1, 2, 3, 4)) + " |")
    outliers(sample, first[0], first[1])
    return {"sample": sample.name, "methods": results, "coverage": covered}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--program", type=pathlib.Path, default=pathlib.Path("target/release/photosphere"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("target/real_distances"))
    parser.add_argument("--keep", action="store_true", help="do not train again where a model of that seed exists")
    options = parser.parse_args()
    print(f"scikit-learn {sklearn.__version__}; mean ± standard deviation over {options.seeds} seeds")
    samples = [
        apogee_hipparcos(options.folder / "apogee_hipparcos_3244.fits.gz"),
        gaia_lamost(options.folder / "gaia_lamost_1838.csv"),
    ]
    report = [study(options, sample) for sample in samples]
    (options.out / "results.json").write_text(json.dumps(report, indent=1, default=float))


if __name__ == "__main__":
    main()
