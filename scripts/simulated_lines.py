#!/usr/bin/env python3
"""Pulls of networks per pixel that were trained on simulated spectra, at several signal-to-noise ratios, and what wrong line strengths in the
gradient library do to gradients, the cheat test and labels.

    python scripts/simulated_lines.py FOLDER [--program photosphere] [--seeds 1-5] [--wrong 0,0.04,0.1] [--stars 2000] [--wide]

Needs numpy. Everything is done by commands of the program (docs/src/payne.md, "From lines to a report, by commands"): with every seed there are
other lines, stars, noise and networks. Training spectra: 3 600 of S/N 20-120; library: 101 references with scattered [X/Fe], the strengths of its
lines wrong by `--wrong` dex; new stars with permuted [X/Fe]; gradients at 60 new references of the right lines, the cheat test on 1 000 spectra
without noise. Fits may go half a range beyond that of the training (margin = 0.5), so that bounds do not cut pulls off, and no star is left out.

Printed, as a table in Markdown, are means and spreads over the seeds: MAD-sigma of (estimate - truth)/error, and r, b and c of the report.
What is there already is not made again.
"""

import argparse
import csv
import json
import subprocess
from pathlib import Path

import numpy as np

LABELS = "teff logg v_mic feh c_fe n_fe o_fe mg_fe al_fe si_fe ca_fe ti_fe cr_fe mn_fe ni_fe".split()
RATIOS = [50, 100, 200]


def mad_sigma(values):
    return 1.4826 * np.median(np.abs(values - np.median(values)))


def columns(path):
    """Columns of numbers of a catalogue in CSV."""
    with open(path) as lines:
        rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    return lambda name: np.array([float(row[name] or "nan") for row in rows])


def run(options, seed):
    """Makes the files of a seed; gives pulls [ratio, label], chi2 per degree of freedom [ratio], and the report, of every wrong library."""
    folder = Path(options.folder) / f"seed{seed}"
    folder.mkdir(parents=True, exist_ok=True)

    def make(name, *command):
        if not (folder / name).exists():
            subprocess.run([options.program, *map(str, command), "-o", name, "--seed", str(seed), "-q"], cwd=folder, check=True)

    range_of_stars = ["--wide"] if options.wide else []
    spectra, library = ["simulate", "spectra", *range_of_stars], ["simulate", "library", *range_of_stars]
    new = [*spectra, "--new", "--permuted"]
    make("training.parquet", *spectra)
    make("held_out.safetensors", *library, "--new", "--references", 60)
    make("clean.parquet", *new, "--noise-free", "--snr", 100, "--stars", 1000)
    for ratio in RATIOS:
        make(f"new{ratio}.parquet", *new, "--snr", ratio, "--stars", options.stars)
    (folder / "fit.toml").write_text("margin = 0.5\n")
    results = []
    for wrong in options.wrong:
        make(f"library{wrong}.safetensors", *library, "--strength-error", wrong)
        recipe = f'kind = "pixel_networks"\nlabels = {json.dumps(LABELS)}\nlibrary = "library{wrong}.safetensors"\nresolution = 2500\n'
        (folder / f"recipe{wrong}.toml").write_text(recipe)
        make(f"model{wrong}", "train", f"recipe{wrong}.toml", "training.parquet")
        pulls, chi = [], []
        for ratio in RATIOS:
            name = f"catalogue{wrong}_{ratio}.csv"
            make(name, "fit", f"model{wrong}", f"new{ratio}.parquet", "--config", "fit.toml", "--keep-truth")
            of = columns(folder / name)
            pulls.append([mad_sigma((of(label) - of("true_" + label)) / of(label + "_error")) for label in LABELS])
            chi.append(np.median(of("chi2") / of("n_dof")))
        judged = subprocess.run(
            [options.program, "diagnose", f"model{wrong}", "--library", "held_out.safetensors", "--spectra", "clean.parquet", "-o", f"report{wrong}"]
            + ["--overwrite", "--json", "-q"],
            cwd=folder,
            check=True,
            capture_output=True,
        )
        report = json.loads(judged.stdout)
        number = lambda section, key: [np.nan if of[key] is None else of[key] for of in report[section]]
        figures = [number("gradients", "r"), number("gradients", "amplitude"), number("cheat_test", "b"), number("cheat_test", "c")]
        results.append((np.array(pulls), np.array(chi), np.array(figures, float)))
    return results


def of_seeds(values, digits=2):
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return "-"
    spread = f" ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{values.mean():.{digits}f}{spread}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--program", default="photosphere")
    parser.add_argument("--seeds", default="1-5")
    parser.add_argument("--wrong", default="0,0.04,0.1", type=lambda text: text.split(","))
    parser.add_argument("--stars", default=2000, type=int)
    parser.add_argument("--wide", action="store_true")
    options = parser.parse_args()
    first, _, last = options.seeds.partition("-")
    seeds = [run(options, seed) for seed in range(int(first), int(last or first) + 1)]
    for k, wrong in enumerate(options.wrong):
        pulls, chi, figures = (np.array([seed[k][part] for seed in seeds]) for part in range(3))
        means = pulls.mean(axis=0)
        print(f"\nline strengths wrong by {wrong} dex: {len(seeds)} seeds, amplitudes {figures[:, 1].min():.3f} to {figures[:, 1].max():.3f}")
        for at, ratio in enumerate(RATIOS):
            low, high = means[at].min(), means[at].max()
            print(f"S/N {ratio}: chi2/dof {chi[:, at].mean():.3f}; MAD-sigma of pulls, means over the seeds {low:.3f} to {high:.3f}")
        print("\n| label | " + " | ".join(f"pulls, S/N {ratio}" for ratio in RATIOS) + " | r | b | c |\n" + "|---" * 7 + "|")
        for label, name in enumerate(LABELS):
            cells = [of_seeds(pulls[:, at, label]) for at in range(len(RATIOS))]
            cells += [of_seeds(figures[:, 0, label], 4), of_seeds(figures[:, 2, label]), of_seeds(figures[:, 3, label])]
            print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
