#!/usr/bin/env python3
"""Are the distances of `photosphere distance` right, and what does a luminosity add to a parallax?

    scripts/distance_coverage.py FOLDER [--program target/release/photosphere] [--stars 40000]

Stars are drawn from the prior d² e^(−d/L) with errors of parallaxes like Gaia's by magnitude, M known to 0.2 mag and
extinctions to 0.05 mag. `distance` gets them with parallax and luminosity, with the parallax alone and with the luminosity
alone. Printed: the share of 68 % intervals that hold the truth, by the measured ϖ/σ (a choice by what is known: by the
truth it would not be 68 %), and errors of ln d by true distance. Needs numpy and pyarrow.
"""

import argparse
import pathlib
import subprocess

import numpy as np
import pyarrow
import pyarrow.parquet as parquet

SCALE_LENGTH = 1.35
CONFIG = """[columns]
extinction = "{extinction}"
absolute_magnitude = "{absolute}"
absolute_magnitude_error = "{absolute}"
parallax = "{parallax}"
parallax_error = "{parallax}"
[options]
prior = {{ kind = "exponential_density", scale_length = {length} }}
zero_point = {{ kind = "none" }}
[options.binary]
distance = "single"
"""


def simulate(n, seed):
    random = np.random.default_rng(seed)
    distance = random.gamma(3, SCALE_LENGTH, n)
    absolute, extinction = random.normal(1, 1.5, n), random.exponential(0.3, n)
    magnitude = absolute + 5 * np.log10(distance) + 10 + extinction
    error = 0.015 + 0.02 * np.exp((magnitude - 15) * 0.46)
    table = {
        "source_id": np.arange(n),
        "parallax": 1 / distance + error * random.normal(size=n),
        "parallax_error": error,
        "phot_g_mean_mag": magnitude + 0.02 * random.normal(size=n),
        "phot_g_mean_mag_error": np.full(n, 0.02),
        "a_g": extinction + 0.05 * random.normal(size=n),
        "a_g_error": np.full(n, 0.05),
        "absolute_magnitude": absolute + 0.2 * random.normal(size=n),
        "absolute_magnitude_error": np.full(n, 0.2),
    }
    return table, distance


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--program", type=pathlib.Path, default=pathlib.Path("target/release/photosphere"))
    parser.add_argument("--stars", type=int, default=40_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    stars, truth = simulate(options.stars, options.seed)
    path = options.folder / "stars.parquet"
    parquet.write_table(pyarrow.table(stars), path)
    ratio = stars["parallax"] / stars["parallax_error"]
    found = {}
    for name, absolute, parallax in (("both", "", ""), ("parallax", "none", ""), ("luminosity", "", "none")):
        config, output = options.folder / f"{name}.toml", options.folder / f"{name}.parquet"
        extinction = "" if absolute == "" else "none"
        config.write_text(CONFIG.format(absolute=absolute, parallax=parallax, extinction=extinction, length=SCALE_LENGTH))
        command = [options.program.resolve(), "distance", path, "-o", output, "--config", config, "--overwrite", "--quiet"]
        subprocess.run([str(word) for word in command], check=True)
        table = parquet.read_table(output)
        column = lambda key: table.column(key).to_pandas().to_numpy(dtype=float)
        found[name] = {key: column(key) for key in ("distance_low", "distance_median", "distance_high")}
    names = list(found)
    inside = {name: (f["distance_low"] <= truth) & (truth <= f["distance_high"]) for name, f in found.items()}
    print("| ϖ/σ | stars | " + " | ".join(f"in 68 %, {name}" for name in names) + " |\n|---" + "|---" * 4 + "|")
    for low, high in ((-np.inf, 0), (0, 1), (1, 3), (3, 10), (10, np.inf), (-np.inf, np.inf)):
        keep = (low <= ratio) & (ratio < high)
        error = (0.683 * 0.317 / keep.sum()) ** 0.5
        cells = " | ".join(f"{inside[name][keep].mean():.3f}" for name in names)
        print(f"| {low} to {high} | {keep.sum()} (± {error:.3f}) | {cells} |")
    print("\n| true distance (kpc) | stars | " + " | ".join(f"√⟨(Δ ln d)²⟩, {name}" for name in names) + " | 1/ϖ, where positive |\n|---" + "|---" * 5 + "|")
    with np.errstate(invalid="ignore"):
        naive = np.where(stars["parallax"] > 0, -np.log(stars["parallax"]), np.nan) - np.log(truth)
    for low, high in ((0, 1), (1, 2), (2, 4), (4, 8), (8, np.inf)):
        keep = (low <= truth) & (truth < high)
        rms = lambda x: f"{np.nanmean(x[keep] ** 2) ** 0.5:.3f}"
        cells = " | ".join(rms(np.log(found[name]["distance_median"] / truth)) for name in names)
        print(f"| {low} to {high} | {keep.sum()} | {cells} | {rms(naive)} |")


if __name__ == "__main__":
    main()
