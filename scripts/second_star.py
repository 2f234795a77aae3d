#!/usr/bin/env python3
"""Which pairs does `fit --second-star` find, and how often is a single star taken for one?

    python scripts/second_star.py MODEL FOLDER [--program photosphere] [--stars 3000] [--seed 11]

Needs numpy and pyarrow (for `--figure`, matplotlib). Two surveys are simulated, of singles and of pairs with mass ratios uniform from 0.2 to 1
(companions on the main sequence, of the same [Fe/H], distance and dust), and fitted with the measured parallaxes and without any. A statistic's
threshold is the one that 1 % of one half of the singles pass; false positives are counted in the other half. Compared are

    pair         pair_delta_loss: -2 ln P of one star less that of two
    chi2         chi2 of one star above its degrees of freedom, in its standard deviations (bit 3 is a threshold of it)
    luminosity   parallax of the fit without parallax less the measured one, over the error of the difference (Xiang et al. 2021, eq. 15)

Printed: completeness by mass ratio, of main-sequence primaries (true log g above 3.8) and others, with all parallaxes, good ones (of 20 errors
or more) and none; then medians and MAD-sigmas of (estimate - truth)/error of the pairs that are flagged (bit 18).
"""

import argparse
import json
import subprocess
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

EDGES = np.array([0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
FLAG = 1 << 18


def read(path):
    """The columns of numbers of a catalogue; nulls are NaN."""
    columns = {}
    for field in pq.read_schema(path):
        if not str(field.type).startswith(("fixed_size_list", "list", "string", "large")):
            values = pq.read_table(path, columns=[field.name])[field.name].to_numpy()
            columns[field.name] = values.astype(float) if values.dtype == object else values
    return columns


def mad_sigma(values):
    return 1.4826 * np.median(np.abs(values - np.median(values)))


def statistics(stars, alone):
    """The three statistics of fits with a parallax (`stars`) or none, and of the same stars fitted without (`alone`)."""
    error = np.hypot(alone["parallax_error"], alone["measured_parallax_error"])
    return {
        "pair": stars["pair_delta_loss"],
        "chi2": (stars["chi2"] - stars["n_dof"]) / np.sqrt(2 * stars["n_dof"]),
        "luminosity": (alone["parallax"] - alone["measured_parallax"]) / error,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--program", default="photosphere")
    parser.add_argument("--stars", type=int, default=3000, help="of either survey [3000]")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--false-positives", type=float, default=0.01)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    folder = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)

    def run(*words):
        subprocess.run([arguments.program, *map(str, words)], check=True, stdout=subprocess.DEVNULL)

    fits = {}
    for survey, keys in {"singles": "binary_fraction = 0.0", "pairs": "binary_fraction = 1.0\nmass_ratios = [0.2, 1.0]"}.items():
        recipe, observed = folder / f"{survey}.toml", folder / f"{survey}.parquet"
        recipe.write_text(f"{keys}\nn_stars = {arguments.stars}\nseed = {arguments.seed}\nlabelled_fraction = 0.0\nfirst_star = 6000000\n")
        run("simulate", "--config", recipe, "-o", observed, "--overwrite")
        for name, options in {"parallax": [], "none": ["--constraint", "none"]}.items():
            output = folder / f"{survey}_{name}.parquet"
            keep = ["--keep", "parallax,parallax_error", "--keep-truth", "--overwrite"]
            run("fit", arguments.model, observed, "-o", output, "--second-star", *options, *keep)
            fits[survey, name] = read(output)

    def is_good(stars, alone, what):
        signal = alone["measured_parallax"] / alone["measured_parallax_error"]
        return np.isfinite(stars["pair_delta_loss"]) & ((signal > 20) if what == "good" else np.ones(len(signal), bool))

    result = {"edges": EDGES.tolist(), "completeness": {}, "false_positives": {}, "flag": {}, "thresholds": {}}
    kinds = {"main sequence": lambda stars: stars["true_logg"] > 3.8, "giants": lambda stars: stars["true_logg"] <= 3.8}
    for kind, of_kind in kinds.items():
        for what, name in {"all parallaxes": "parallax", "good parallaxes": "parallax", "no parallax": "none"}.items():
            chosen = {}
            for survey in ("singles", "pairs"):
                stars, alone = fits[survey, name], fits[survey, "none"]
                member = of_kind(stars) & is_good(stars, alone, what.split()[0])
                chosen[survey] = ({key: values[member] for key, values in statistics(stars, alone).items()}, {k: v[member] for k, v in stars.items()})
            (singles, single_rows), (pairs, pair_rows) = chosen["singles"], chosen["pairs"]
            bins = np.digitize(pair_rows["true_mass_ratio"], EDGES) - 1
            print(f"\n{kind}, {what}: {len(single_rows['source_id'])} singles, {len(bins)} pairs")
            print("mass ratio          threshold  false  " + "  ".join(f"{low:.1f}-{high:.1f}" for low, high in zip(EDGES, EDGES[1:])))
            for statistic in ("pair", "chi2", "luminosity"):
                if statistic == "luminosity" and name == "none":
                    continue
                threshold = np.quantile(singles[statistic][::2], 1 - arguments.false_positives)
                false = np.mean(singles[statistic][1::2] > threshold)
                completeness = [float(np.mean(pairs[statistic][bins == k] > threshold)) for k in range(len(EDGES) - 1)]
                print(f"{statistic:18s} {threshold:10.2f} {100 * false:5.1f}%  " + "  ".join(f"{100 * c:5.1f}%" for c in completeness))
                key = f"{kind}, {what}, {statistic}"
                result["completeness"][key], result["false_positives"][key], result["thresholds"][key] = completeness, float(false), float(threshold)
            flagged = [row["quality_flags"].astype(int) & FLAG != 0 for row in (single_rows, pair_rows)]
            completeness = [float(np.mean(flagged[1][bins == k])) for k in range(len(EDGES) - 1)]
            print(f"{'flag (bit 18)':18s} {'':10s} {100 * np.mean(flagged[0]):5.1f}%  " + "  ".join(f"{100 * c:5.1f}%" for c in completeness))
            result["flag"][f"{kind}, {what}"] = {"false": float(np.mean(flagged[0])), "completeness": completeness}

    print("\nflagged pairs, main sequence, mass ratios 0.4 to 0.9: (estimate - truth)/error, median and MAD-sigma; of the single fits, the same")
    for name in ("parallax", "none"):
        stars = fits["pairs", name]
        chosen = (stars["quality_flags"].astype(int) & FLAG != 0) & (stars["true_logg"] > 3.8) & (np.abs(stars["true_mass_ratio"] - 0.65) < 0.25)
        words = []
        for label in ("teff", "feh", "logg", "extinction", "parallax", "companion_teff", "companion_logg"):
            column = label if label.startswith("companion") else f"pair_{label}"
            pull = (stars[column] - stars[f"true_{label}"])[chosen] / stars[f"{column}_error"][chosen]
            pull = pull[np.isfinite(pull)]
            text = f"{label} {np.median(pull):+.2f} {mad_sigma(pull):.2f}"
            if not label.startswith("companion"):
                alone = ((stars[label] - stars[f"true_{label}"]) / stars[f"{label}_error"])[chosen]
                text += f" (single {np.nanmedian(alone):+.2f} {mad_sigma(alone[np.isfinite(alone)]):.2f})"
            words.append(text)
            result.setdefault("pulls", {})[f"{name}, {label}"] = [float(np.median(pull)), float(mad_sigma(pull)), int(len(pull))]
        difference = (stars["companion_teff"] - stars["true_companion_teff"])[chosen]
        print(f"{name}: {chosen.sum()} stars; " + "; ".join(words) + f"; companion_teff {np.median(difference):+.0f} +- {mad_sigma(difference):.0f} K")

    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1))
    if arguments.figure:
        draw(result, arguments.figure)


def draw(result, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    middle = 0.5 * (EDGES[1:] + EDGES[:-1])
    cases = ["good parallaxes", "all parallaxes", "no parallax"]
    figure, axes = plt.subplots(2, 3, figsize=(10, 5.5), sharex=True, sharey=True)
    for row, kind in zip(axes, ("main sequence", "giants")):
        for axis, what in zip(row, cases):
            for statistic, colour in {"pair": "C0", "chi2": "C1", "luminosity": "C2"}.items():
                key = f"{kind}, {what}, {statistic}"
                if key in result["completeness"]:
                    axis.plot(middle, result["completeness"][key], "o-", color=colour, label=statistic)
                    axis.axhline(result["false_positives"][key], color=colour, linestyle=":", linewidth=0.8)
            axis.set_title(f"{kind}, {what}", fontsize=9)
            axis.set_ylim(-0.02, 1.02)
    for axis in axes[1]:
        axis.set_xlabel("mass ratio")
    for axis in axes[:, 0]:
        axis.set_ylabel("completeness")
    axes[0, 0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
