"""Models of spectra (networks per pixel, polynomials, one joint network) on spectra and label gradients of a real synthesis
(Turbospectrum): held-out references and spectra, permuted abundances, controls.

    python scripts/real_synthesis.py --data FOLDER --output FOLDER [--program photosphere] [--seeds 1-5] [--cases scattered,alpha]
    python scripts/real_synthesis.py --summary FOLDER

FOLDER of --data holds the project's `synthetic_spectra`. Needs numpy and pyarrow. Seed s leaves out every fifth reference and spectrum,
beginning with number s: five seeds leave out each once. Every training is a line of results.jsonl.

Cases: scattered (references whose [X/Fe] are scattered, a committee of networks), single (one network in place of the committee),
alpha (references on the track of alpha), both (scattered references, and those on the track whose stars are not held out), none (no gradients), noisy (scattered; spectra with noise of S/N 20-120, four draws each),
blue (4005-5500 A: fewer references and spectra), giants (log g < 3.5, scattered references), second (the same giants with gradients
of an independent code). The other families of models, as scattered and with their own defaults: polynomials, low_degree (fewer
terms), joint (one network of 300 and 300 neurons).

What is measured, of labels where they can be: references and stars whose bound at S/N 100 is below 0.1 dex (0.1 km/s, 100 K):
  r, amplitude   gradients at held-out references against the synthesis
  b, c           noise-free permuted spectra: estimate = a + b truth + c (what the other labels predict). Without permuted spectra
                 (blue), held-out spectra, whose private scatter of 0.03 dex decides
  scatter        MAD-sigma of (estimate - truth)/bound of held-out spectra with noise of S/N 100, ten draws each
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from payne_files import (
    LABELS,
    LEAST_QUALITY,
    JointNetwork,
    Networks,
    Polynomials,
    agreement,
    bounds,
    columns,
    read_tensors,
    response,
    robust_scatter,
    run,
    write_library,
    write_observations,
)

FOLDS, DRAWS, NOISY_DRAWS = 5, 10, 4
MEASURABLE = {"teff": 100.0}
GIANT = 3.5
# Weight of noise-free spectra: that of a signal-to-noise ratio.
CLEAN = 300.0
TRAINING = {"hidden": 10, "committee": 6, "regularisation": 0.3, "weight_decay": 0.3, "iterations": 60}
CASES = {
    "scattered": {},
    "single": {"committee": 1},
    "alpha": {},
    "both": {},
    "none": {"regularisation": 0.0},
    "noisy": {},
    "blue": {},
    "giants": {},
    "second": {},
    "polynomials": {},
    "low_degree": {"core_degree": 3, "cross_degree": 1, "ratio_degree": 1},
    "joint": {},
}
# Kind, class that reads it, file in the model's folder, options of the training in place of those of networks per pixel.
FAMILIES = {
    "polynomials": ("pixel_polynomials", Polynomials, "polynomials.safetensors", {}),
    "low_degree": ("pixel_polynomials", Polynomials, "polynomials.safetensors", {}),
    "joint": ("joint_network", JointNetwork, "network.safetensors", {}),
}
NETWORKS = ("pixel_networks", Networks, "networks.safetensors", TRAINING)
# Stars of two libraries are the same where T_eff, log g and [Fe/H] agree within this.
SAME_STAR = np.array([100.0, 0.1, 0.1])
SECOND_NAMES = {"feh": "mh", **{name: name.split("_")[0] + "m" for name in LABELS[4:]}}


def good(arrays):
    return arrays["atmosphere_quality"] >= LEAST_QUALITY


def joined(folder, kind, key, case):
    """A file of one range, or of both for the case `blue`."""
    red, _ = read_tensors(folder / f"{kind}_4800_5500.safetensors")
    keep = good(red)
    if case != "blue":
        return {name: red[name][keep] for name in ("labels", "flux", "gradient", key) if name in red}, 10 ** red["log10_wavelength"]
    blue, _ = read_tensors(folder / f"{kind}_4005_4800.safetensors")
    place = {number: i for i, number in enumerate(blue[key])}
    rows = [i for i in np.flatnonzero(keep) if red[key][i] in place]
    others = [place[red[key][i]] for i in rows]
    found = {name: red[name][rows] for name in ("labels", key)}
    for name in ("flux", "gradient"):
        if name in red:
            found[name] = np.concatenate([blue[name][others], red[name][rows]], axis=-1)
    return found, 10 ** np.concatenate([blue["log10_wavelength"], red["log10_wavelength"]])


def select(arrays, keep):
    return {name: array[keep] for name, array in arrays.items()}


def second_code(folder, wavelength, stars):
    """The independent code's gradients, with a column without meaning for the label that it lacks (v_mic)."""
    arrays, metadata = read_tensors(folder / "second_code_giants_gradients_4005_5500.safetensors")
    names = metadata["label_names"].split(",")
    own = 10 ** arrays["log10_wavelength"]
    pixels = [int(np.argmin(np.abs(own - at))) for at in wavelength]
    assert np.abs(own[pixels] - wavelength).max() < 1e-3
    n = len(arrays["labels"])
    design = lambda labels: np.column_stack([np.ones(len(labels)), labels])
    relation = np.linalg.lstsq(design(stars[:, [0, 1, 3]]), stars[:, 2], rcond=None)[0]
    of = lambda name: names.index(SECOND_NAMES.get(name, name))
    labels, gradient = np.zeros((n, len(LABELS))), np.zeros((n, len(LABELS), len(wavelength)))
    for k, name in enumerate(LABELS):
        if name != "v_mic":
            labels[:, k] = arrays["labels"][:, of(name)]
            gradient[:, k] = arrays["gradient"][:, of(name)][:, pixels]
    labels[:, 2] = design(labels[:, [0, 1, 3]]) @ relation
    return {"labels": labels, "flux": arrays["flux"][:, pixels], "gradient": gradient}


def experiment(case, seed, data, output, program, threads):
    folder = output / f"{case}_{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    references, wavelength = joined(data, "gradients_scattered", "reference", case)
    stars, _ = joined(data, "random", "index", case)
    permuted = None if case == "blue" else joined(data, "permuted", "index", case)[0]
    if case in ("giants", "second"):
        references, stars, permuted = (select(a, a["labels"][:, 1] < GIANT) for a in (references, stars, permuted))
    fold = (seed - 1) % FOLDS
    of_fold = lambda arrays: np.arange(len(arrays["labels"])) % FOLDS == fold
    fresh, held = select(references, of_fold(references)), select(stars, of_fold(stars))
    library, training = select(references, ~of_fold(references)), select(stars, ~of_fold(stars))
    if case == "alpha":
        library, _ = joined(data, "gradients_alpha_track", "reference", case)
    if case == "both":
        track, _ = joined(data, "gradients_alpha_track", "reference", case)
        distance = np.abs(track["labels"][:, None, [0, 1, 3]] - fresh["labels"][None, :, [0, 1, 3]]) / SAME_STAR
        track = select(track, ~(distance < 1).all(2).any(1))
        library = {name: np.concatenate([library[name], track[name]]) for name in ("labels", "flux", "gradient")}
    if case == "second":
        library = second_code(data, wavelength, stars["labels"])

    labels, flux = training["labels"], training["flux"].astype(float)
    error = np.full(flux.shape, 1 / CLEAN)
    if case == "noisy":
        labels, flux = np.repeat(labels, NOISY_DRAWS, axis=0), np.repeat(flux, NOISY_DRAWS, axis=0)
        error = np.repeat(1 / random.uniform(20, 120, (len(flux), 1)), flux.shape[1], axis=1)
        flux = flux + error * random.standard_normal(flux.shape)
    write_observations(folder / "training.parquet", np.arange(len(labels)) + 1, labels, LABELS, wavelength, flux, error)
    write_library(folder / "library.safetensors", library, LABELS, wavelength)
    kind, reader, file_name, defaults = FAMILIES.get(case, NETWORKS)
    options = {**defaults, **CASES[case], **({} if kind == "pixel_polynomials" else {"seed": seed})}
    recipe = [
        f'kind = "{kind}"',
        f"labels = {json.dumps(LABELS)}",
        'library = "library.safetensors"',
        "resolution = 1800",
        "[training]",
        *(f"{name} = {value}" for name, value in options.items()),
    ]
    if case == "second":
        recipe += ["[training.regularisation_of]", "v_mic = 0.0"]
    (folder / "recipe.toml").write_text("\n".join(recipe) + "\n")
    clock = time.time()
    run(program, "train", folder / "recipe.toml", folder / "training.parquet", "-o", folder / "model", "--overwrite", "-q", "--threads", threads)
    seconds = time.time() - clock

    networks = reader(folder / "model" / file_name)
    found = {"case": case, "seed": seed, "seconds": seconds}
    found["references"], found["spectra"], found["held_references"] = len(library["labels"]), len(labels), len(fresh["labels"])
    difference = networks.flux(held["labels"]) - held["flux"]
    found["model_error"] = float(np.sqrt((difference**2).mean()))
    found["model_error_median"] = float(np.median(np.sqrt((difference**2).mean(1))))
    own, truth = networks.gradient(fresh["labels"]), fresh["gradient"].astype(float)
    true_bounds = bounds(truth)
    found["bound"] = np.median(true_bounds, axis=0).tolist()
    limit = np.array([MEASURABLE.get(name, 0.1) for name in LABELS])
    measurable = true_bounds < limit
    found["measurable_references"] = measurable.sum(0).tolist()
    pairs = [agreement(own[measurable[:, k], k], truth[measurable[:, k], k]) if measurable[:, k].any() else (None, None) for k in range(len(LABELS))]
    found["r"], found["amplitude"] = ([None if p[i] is None else float(p[i]) for p in pairs] for i in (0, 1))
    found["r_all"] = [float(agreement(own[:, k], truth[:, k])[0]) for k in range(len(LABELS))]

    # Noise-free spectra of permuted labels, and noisy ones of held-out stars.
    clean = held if permuted is None else permuted
    noisy_labels = np.repeat(held["labels"], DRAWS, axis=0)
    noisy = np.repeat(held["flux"], DRAWS, axis=0) + random.standard_normal((len(noisy_labels), len(wavelength))) / 100
    flux = np.concatenate([clean["flux"], noisy])
    labels = np.concatenate([clean["labels"], noisy_labels])
    write_observations(folder / "new.parquet", np.arange(len(labels)) + 1, labels, LABELS, wavelength, flux, np.full(flux.shape, 0.01), truth=True)
    run(program, "fit", folder / "model", folder / "new.parquet", "-o", folder / "catalogue.parquet", "--overwrite", "-q", "--threads", threads)
    catalogue = pq.read_table(folder / "catalogue.parquet")
    estimate, errors = columns(catalogue, LABELS), columns(catalogue, [f"{name}_error" for name in LABELS])
    n = len(clean["labels"])
    model_bounds = bounds(networks.gradient(clean["labels"]))
    found["b"], found["c"], found["spread"], found["measurable_stars"], found["scatter"] = [], [], [], [], []
    for k in range(len(LABELS)):
        others = [j for j in range(len(LABELS)) if j != k]
        use = model_bounds[:, k] < limit[k]
        found["measurable_stars"].append(int(use.sum()))
        values = [None] * 3
        if use.sum() > 2 * len(LABELS):
            values = response(
                estimate[:n][use, k], clean["labels"][use, k], clean["labels"][use][:, others], stars["labels"][:, k], stars["labels"][:, others]
            )
        for name, value in zip(("b", "c", "spread"), values):
            found[name].append(None if value is None else float(value))
        use = errors[n:, k] < limit[k]
        pulls = (estimate[n:, k] - noisy_labels[:, k]) / errors[n:, k]
        found["scatter"].append(float(robust_scatter(pulls[use])) if use.sum() > 50 else None)
    return found


def summary(path):
    lines = [json.loads(line) for line in open(path)]
    for case in CASES:
        runs = [line for line in lines if line["case"] == case]
        if not runs:
            continue
        spread = lambda name: f"{np.mean([r[name] for r in runs]):.2e} (spread {np.std([r[name] for r in runs]):.0e})"
        print(f"\n{case}: {len(runs)} seeds, {runs[0]['references']} references, {runs[0]['spectra']} spectra; error of the flux {spread('model_error')}, of the median star {spread('model_error_median')}, {np.mean([r['seconds'] for r in runs]):.0f} s")
        print(f"{'':8}{'bound':>8}{'r':>15}{'amplitude':>14}{'b':>14}{'c':>15}{'scatter':>14}{'refs, stars':>14}")
        for k, name in enumerate(LABELS):
            def of(key):
                values = [r[key][k] for r in runs if r[key][k] is not None]
                return f"{np.mean(values):8.3f}±{np.std(values):.3f}" if values else "—"
            counts = f"{sum(r['measurable_references'][k] for r in runs)}, {np.mean([r['measurable_stars'][k] for r in runs]):.0f}"
            print(f"{name:8}{np.median([r['bound'][k] for r in runs]):8.3g}{of('r'):>15}{of('amplitude'):>14}{of('b'):>14}{of('c'):>15}{of('scatter'):>14}{counts:>14}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--program", default="photosphere")
    parser.add_argument("--seeds", default="1-5")
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--summary", type=Path)
    arguments = parser.parse_args()
    if arguments.summary:
        return summary(arguments.summary / "results.jsonl")
    arguments.output.mkdir(parents=True, exist_ok=True)
    results = arguments.output / "results.jsonl"
    done = {(r["case"], r["seed"]) for r in map(json.loads, open(results))} if results.exists() else set()
    first, _, last = arguments.seeds.partition("-")
    for seed in range(int(first), int(last or first) + 1):
        for case in arguments.cases.split(","):
            if (case, seed) not in done:
                found = experiment(case, seed, arguments.data, arguments.output, arguments.program, arguments.threads)
                with open(results, "a") as file:
                    file.write(json.dumps(found) + "\n")
    summary(results)


if __name__ == "__main__":
    main()
