"""Real LAMOST spectra (R = 1800) with pixel networks: an ab-initio model of a real synthesis, and one trained on the stars themselves
with the synthesis' gradients.

    python scripts/real_lamost.py --data FOLDER --output FOLDER [--program photosphere] [--seeds 1-5] [--threads 1] [--label-alternations 0]

FOLDER of --data holds the project's `lamost_spectra` and `synthetic_spectra`. Needs numpy, pyarrow and matplotlib.

The synthesis is divided by the same pseudo-continuum as the stars (a Gaussian kernel of 20 A over 4800-5500 A, blind to Balmer cores
and interstellar bands), its gradients by the chain rule. Ab initio: a committee trained on the noise-free spectra and all references
is fitted to the stars, all 15 labels at once; and again with a broadening or a rotation, beside fits without one to the same pixels. Data-driven: T_eff, log g and [Fe/H] of half of the stars (by a hash with the seed), with and
without gradients, and the other half is judged. Residuals are estimate - survey.
"""

import argparse
import csv
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from payne_files import LABELS, LEAST_QUALITY, Networks, column, read_tensors, robust_scatter, run, write_library, write_observations

CORE = ["teff", "logg", "feh"]
KERNEL = 20.0
# Of the synthesis.
RANGE = {"teff": (4350, 6650)}
COMMITTEE = {"hidden": 10, "committee": 6, "regularisation": 0.3, "weight_decay": 0.3, "iterations": 60}
# The first table of the documentation is of networks that take the labels for exact, the second frees them.
OF_STARS = {"hidden": 6, "committee": 8, "regularisation": 1.0, "weight_decay": 1.0, "iterations": 60, "label_alternations": 0}
CLEAN = 300.0
# H beta's core (vacuum, half width in A), which the continuum of `prepare` does not see; no interstellar band lies here.
BALMER = [(4862.68, 8.0)]
PREPARE = """
labels = ["teff", "feh", "logg"]
[spectra]
files = ["{spectra}"]
pattern = "spec-*.fits.gz"
grid = {{ log = [{first}, {last}, 1e-4] }}
mask = []
identifiers = {{ files = ["{labels}"], key = "filename", id = "source_id" }}
[spectra.continuum]
method = "{method}"
kernel = {kernel}
mask = ["balmer", "dib"]
[[tables]]
files = ["{labels}"]
"""


def survey_labels(data, output):
    """The survey's labels of the spectra that are there, as a table to be joined."""
    names = {path.name.removesuffix(".gz") for path in (data / "lamost_spectra").glob("spec-*.fits.gz")}
    rows = [row for row in csv.DictReader(open(data / "lamost_spectra" / "labels_3165.csv")) if row["filename"] in names]
    path = output / "labels.csv"
    with open(path, "w") as file:
        file.write("source_id,filename,teff,teff_error,logg,logg_error,feh,feh_error\n")
        for row in rows:
            values = [row[f"{name}{part}"] for name in CORE for part in ("", "_err")]
            file.write(",".join([row["obsid"], row["filename"], *values]) + "\n")
    return path, {int(row["obsid"]): row for row in rows}


def spectra_of(path):
    table = pq.read_table(path)
    wavelength = np.array(json.loads(table.schema.metadata[b"wavelengths"]))
    lists = [table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(-1, len(wavelength)).astype(float) for name in ("flux", "flux_error")]
    return table, wavelength, *lists


def pseudo_continuum(wavelength):
    """The matrix [W, W] that smooths as `prepare` does, with equal weights."""
    weight = np.ones(len(wavelength))
    for centre, half in BALMER:
        weight[np.abs(wavelength - centre) < half] = 0.0
    kernel = np.exp(-0.5 * ((wavelength[:, None] - wavelength[None, :]) / KERNEL) ** 2) * weight
    return kernel / kernel.sum(1, keepdims=True)


def normalised(arrays, smoothing):
    """Flux and gradients of a synthesis over their pseudo-continuum."""
    flux = arrays["flux"].astype(float)
    continuum = flux @ smoothing.T
    found = {"labels": arrays["labels"], "flux": flux / continuum}
    if "gradient" in arrays:
        gradient = arrays["gradient"].astype(float)
        found["gradient"] = gradient / continuum[:, None] - flux[:, None] * (gradient @ smoothing.T) / continuum[:, None] ** 2
    return found


def train(folder, program, threads, labels, table, library, wavelength, options):
    folder.mkdir(parents=True, exist_ok=True)
    recipe = ['kind = "pixel_networks"', f"labels = {json.dumps(labels)}", "resolution = 1800"]
    if library is not None:
        write_library(folder / "library.safetensors", library, LABELS, wavelength)
        recipe.append('library = "library.safetensors"')
    recipe += ["[training]", *(f"{name} = {value}" for name, value in options.items())]
    (folder / "recipe.toml").write_text("\n".join(recipe) + "\n")
    run(program, "train", folder / "recipe.toml", table, "-o", folder / "model", "--overwrite", "-q", "--threads", threads)
    return folder / "model"


def fitted(folder, program, threads, model, observations, options="", name="catalogue"):
    (folder / f"{name}.toml").write_text(options)
    run(program, "fit", model, observations, "-o", folder / f"{name}.parquet", "--config", folder / f"{name}.toml", "--overwrite", "-q", "--threads", threads)
    return pq.read_table(folder / f"{name}.parquet")


def without_ends(table, n_pixels, n_missing, path):
    """The observations without as many pixels at either end."""
    error = table["flux_error"].combine_chunks()
    values = error.flatten().to_numpy(zero_copy_only=False).reshape(-1, n_pixels).copy()
    values[:, :n_missing] = np.nan
    values[:, n_pixels - n_missing :] = np.nan
    place = table.schema.get_field_index("flux_error")
    lists = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1), type=error.type.value_type), n_pixels)
    pq.write_table(table.set_column(place, table.schema.field(place), lists.cast(error.type)), path)
    return path


def broadened(folder, program, threads, model, observations, table, wavelength, survey, kinds, good):
    """Fits with a broadening or a rotation beside fits without it to the same pixels."""
    groups = [*((kind, kinds == kind) for kind in "AFGK"), ("good", good)]
    for option in ("broadening", "rotation"):
        broad = fitted(folder, program, threads, model, observations, f"{option} = true\n", option)
        n_missing = (len(wavelength) - int(np.nanmax(column(broad, "n_flux")))) // 2
        same = without_ends(table, len(wavelength), n_missing, folder / f"same_{option}.parquet")
        plain = fitted(folder, program, threads, model, same, "", f"plain_{option}")
        gain = column(plain, "chi2") - column(broad, "chi2")
        velocity, square, error = (column(broad, f"{option}{part}") for part in ("", "_squared", "_squared_error"))
        print(f"\nab initio with {option}, {n_missing} pixels fewer at either end; without and with it, on the same pixels")
        for name, use in groups:
            biases = [f"{label} {np.nanmedian((column(fits, label) - survey[label])[use]):.3f}, {robust_scatter((column(fits, label) - survey[label])[use]):.3f}" for label in CORE for fits in (plain, broad)]
            reduced = [np.nanmedian((column(fits, "chi2") / column(fits, "n_flux"))[use]) for fits in (plain, broad)]
            print(f"{name:5}{use.sum():4}  {'; '.join(biases)}")
            print(f"{'':9}  chi2/n {reduced[0]:.3f}, {reduced[1]:.3f}; gain {np.nanmedian(gain[use]):.2f}, above 4: {np.mean(gain[use] > 4):.2f}; at zero {np.mean(velocity[use] == 0):.2f}; median {np.nanmedian(velocity[use]):.1f} km/s; above 3 errors of the square {np.mean(square[use] > 3 * error[use]):.2f}")


def line(name, difference):
    use = np.isfinite(difference)
    return f"{name:28}{use.sum():5}{np.median(difference[use]):10.3f}{robust_scatter(difference[use]):10.3f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--program", default="photosphere")
    parser.add_argument("--seeds", default="1-5")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--label-alternations", type=int, default=0, help="of the data-driven models; 0: the survey's labels are taken for exact")
    arguments = parser.parse_args()
    output, program, threads = arguments.output, arguments.program, arguments.threads
    output.mkdir(parents=True, exist_ok=True)
    labels_file, rows = survey_labels(arguments.data, output)
    references, _ = read_tensors(arguments.data / "synthetic_spectra" / "gradients_scattered_4800_5500.safetensors")
    synthetic, _ = read_tensors(arguments.data / "synthetic_spectra" / "random_4800_5500.safetensors")
    own = 10 ** references["log10_wavelength"]
    for method, name in (("gaussian", "stars"), ("none", "raw")):
        text = PREPARE.format(spectra=arguments.data / "lamost_spectra", labels=labels_file, first=own[0], last=own[-1], kernel=KERNEL, method=method)
        (output / f"{name}.toml").write_text(text)
        run(program, "prepare", output / f"{name}.toml", "-o", output / f"{name}.parquet", "--overwrite", "-q")
    table, wavelength, flux, error = spectra_of(output / "stars.parquet")
    bands = json.loads(table.schema.metadata[b"bands"])
    ids = table["source_id"].to_pylist()
    print(f"{len(ids)} spectra, {np.isfinite(flux).any(1).sum()} with flux on {len(wavelength)} pixels; {len(rows)} with labels of the survey")

    pixels = [int(np.argmin(np.abs(own - at))) for at in wavelength]
    assert np.abs(own[pixels] - wavelength).max() < 0.02
    smoothing = pseudo_continuum(wavelength)
    def of_synthesis(arrays):
        keep = arrays["atmosphere_quality"] >= LEAST_QUALITY
        return normalised({name: arrays[name][keep][..., pixels] if name != "labels" else arrays[name][keep] for name in ("labels", "flux", "gradient") if name in arrays}, smoothing)
    library, synthetic = of_synthesis(references), of_synthesis(synthetic)

    # Ab initio.
    folder = output / "ab_initio"
    folder.mkdir(exist_ok=True)
    training = folder / "training.parquet"
    clean = np.full(synthetic["flux"].shape, 1 / CLEAN)
    write_observations(training, np.arange(len(clean)) + 1, synthetic["labels"], LABELS, wavelength, synthetic["flux"], clean, bands=bands)
    model = train(folder, program, threads, LABELS, training, library, wavelength, {**COMMITTEE, "seed": 1})
    catalogue = fitted(folder, program, threads, model, output / "stars.parquet")
    found = {name: column(catalogue, name) for name in LABELS}
    bounds = {name: column(catalogue, f"{name}_error") for name in LABELS}
    flags = catalogue["quality_flags"].to_numpy()
    survey = {name: np.array([float(rows[i][name]) if i in rows else np.nan for i in ids]) for name in CORE}
    ratio = column(table, "snr")
    kinds = np.array([rows[i]["subclass"][:1] if i in rows else "" for i in ids])
    inside = (survey["teff"] > RANGE["teff"][0]) & (survey["teff"] < RANGE["teff"][1])
    reduced = column(catalogue, "chi2") / column(catalogue, "n_dof")
    print("\nab initio: estimate - survey         stars    median   MAD-sigma")
    for name in CORE:
        for kind in "AFGK":
            print(line(f"{name}, {kind}", (found[name] - survey[name])[kinds == kind]))
        good = inside & (ratio > 15)
        print(line(f"{name}, in range, S/N > 15", (found[name] - survey[name])[good]))
        print(line(f"{name}, in range, pulls", ((found[name] - survey[name]) / bounds[name])[good]))
    for kind in "AFGK":
        use = kinds == kind
        print(f"chi2/n of {kind}: median {np.nanmedian(reduced[use]):.2f}; flagged (bit 8 or above) {np.mean((flags[use] >= 256)):.2f}")
    for name in LABELS[2:3] + LABELS[4:]:
        use = inside & (ratio > 15) & (bounds[name] < 0.1) & (flags & (1 << 16) == 0)
        if use.sum() > 5:
            print(line(f"{name} (bound < 0.1), itself", found[name][use]))

    broadened(folder, program, threads, model, output / "stars.parquet", table, wavelength, survey, kinds, inside & (ratio > 15))

    # Figures: fits, and labels against the survey's.
    networks = Networks(model / "networks.safetensors")
    chosen = [np.flatnonzero((kinds == kind) & np.isfinite(reduced))[np.argmax(ratio[(kinds == kind) & np.isfinite(reduced)])] for kind in "FGK"]
    figure, axes = plt.subplots(len(chosen), 1, figsize=(11, 8), sharex=True)
    for axis, star in zip(axes, chosen):
        fit = networks.flux(np.array([[found[name][star] for name in LABELS]]))[0]
        axis.plot(wavelength, flux[star], lw=0.7, color="black", label="star")
        axis.plot(wavelength, fit, lw=0.9, color="C3", label="ab-initio fit")
        axis.plot(wavelength, flux[star] - fit + 0.35, lw=0.5, color="C0", label="difference + 0.35")
        axis.set_title(f"{ids[star]} {rows[ids[star]]['subclass']}, S/N {ratio[star]:.0f}: T_eff {found['teff'][star]:.0f} ({survey['teff'][star]:.0f}), log g {found['logg'][star]:.2f} ({survey['logg'][star]:.2f}), [Fe/H] {found['feh'][star]:.2f} ({survey['feh'][star]:.2f}), chi2/n {reduced[star]:.1f}", fontsize=9)
    axes[0].legend(fontsize=8, ncol=3)
    axes[-1].set_xlabel("wavelength (vacuum, A)")
    figure.tight_layout()
    figure.savefig(output / "fits.png", dpi=110)
    figure, axes = plt.subplots(1, 3, figsize=(11, 4))
    for axis, name in zip(axes, CORE):
        for kind, colour in zip("AFGK", ("C0", "C1", "C2", "C3")):
            axis.scatter(survey[name][kinds == kind], found[name][kinds == kind], s=12, color=colour, label=kind)
        ends = [np.nanmin(survey[name]), np.nanmax(survey[name])]
        axis.plot(ends, ends, color="black", lw=0.7)
        axis.set_xlabel(f"survey {name}")
        axis.set_ylabel(f"ab initio {name}")
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(output / "labels.png", dpi=110)

    # Data-driven, on halves.
    usable = np.array([i in rows for i in ids]) & inside & np.isfinite(flux).any(1)
    numbers = np.flatnonzero(usable)
    stars = pq.read_table(output / "stars.parquet")
    results = {kind: {name: [] for name in CORE} for kind in ("with gradients", "without")}
    scatters = {kind: {name: [] for name in CORE} for kind in results}
    first, _, last = arguments.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    for seed in seeds:
        order = np.random.default_rng(seed).permutation(numbers)
        halves = order[: len(order) // 2], order[len(order) // 2 :]
        folder = output / f"stars_{seed}"
        folder.mkdir(exist_ok=True)
        for name, half in zip(("training", "test"), halves):
            pq.write_table(stars.take(np.sort(half)), folder / f"{name}.parquet")
        for kind, gradients in (("with gradients", library), ("without", None)):
            own = folder / kind.replace(" ", "_")
            model = train(own, program, threads, CORE, folder / "training.parquet", gradients, wavelength, {**OF_STARS, "seed": seed, "label_alternations": arguments.label_alternations})
            catalogue = fitted(own, program, threads, model, folder / "test.parquet")
            test = [ids.index(i) for i in catalogue["source_id"].to_pylist()]
            for name in CORE:
                difference = column(catalogue, name) - survey[name][test]
                results[kind][name].append(np.nanmedian(difference))
                scatters[kind][name].append(robust_scatter(difference))
    print(f"\ndata-driven, halves of {len(numbers)} stars, {len(seeds)} seeds: bias and scatter of the other half, mean +- spread between seeds")
    for kind in results:
        for name in CORE:
            print(f"{kind:16}{name:6}{np.mean(results[kind][name]):10.3f} +- {np.std(results[kind][name]):.3f}{np.mean(scatters[kind][name]):10.3f} +- {np.std(scatters[kind][name]):.3f}")


if __name__ == "__main__":
    main()
