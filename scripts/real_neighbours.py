#!/usr/bin/env python3
"""Extinctions by star pairs and absolute magnitudes by neighbours of real stars, beside a catalogue's reddenings.

    scripts/real_neighbours.py FILE [--program target/release/photosphere] [--out target/real_neighbours]

FILE is the sample of Green et al. (2021), lamost_overlap_8964.fits: LAMOST labels, Gaia DR2 parallaxes, 13 bands, and E(B-V)
of Bayestar19 (nearer stars) or SFD (beyond the dust). Controls are stars of E < 0.05 mag; every star is estimated without
itself. The file has no positions, so that latitudes cannot be asked for, and its reddenings tell controls and truth alike.

Printed: E by star pairs less that of the catalogue, by the catalogue's E, its pulls, and the slope of one on the other;
M_G less m - A - 5 log d of parallaxes above ten errors; the share of stars with each flag. Needs numpy, astropy and pyarrow.
"""

import argparse
import pathlib
import subprocess

import numpy as np
import pyarrow.parquet as parquet
from astropy.table import Table

CONFIG = """[columns]
source_id = "row"
[options]
zero_point = {{ kind = "constant", value = -0.05 }}
{options}
[neighbours]
least_latitude = 0.0
largest_reddening = {largest}
controls = {controls}
map = {{ column = "ebv", scale = {scale} }}
"""


def robust(values):
    middle = np.nanmedian(values)
    return f"{middle:+.4f} {1.4826 * np.nanmedian(np.abs(values - middle)):.4f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--program", type=pathlib.Path, default=pathlib.Path("target/release/photosphere"))
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("target/real_neighbours"))
    parser.add_argument("--largest", type=float, default=0.05, help="largest E(B-V) of controls, mag")
    parser.add_argument("--controls", type=int, default=100)
    parser.add_argument("--scale", type=float, default=0.86, help="of the catalogue's E(B-V)")
    parser.add_argument("--options", default="")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    config, output = options.out / "neighbours.toml", options.out / "found.parquet"
    config.write_text(CONFIG.format(**vars(options)))
    command = [options.program, "distance", options.file, "-o", output, "--config", config, "--by-neighbours", options.file]
    subprocess.run([*map(str, command), "--overwrite", "--keep", "ebv,ebv_error,g_mag,teff,logg"], check=True)
    found = parquet.read_table(output)
    column = lambda name: np.array([np.nan if v is None else v for v in found.column(name).to_pylist()], dtype=float)
    source = np.array([str(value).strip() for value in Table.read(options.file)["ebv_source"]])
    flags = column("neighbour_flags").astype(int)
    print("stars with each bit:", {bit: int(np.sum(flags >> bit & 1)) for bit in range(11)}, "of", len(flags))
    good = (flags == 0) & (column("ebv_error") < 0.2)  # the catalogue has 0 ± 0.5 where it knows nothing
    catalogue, catalogue_error = options.scale * column("ebv"), options.scale * column("ebv_error")
    reddening, error = column("reddening"), column("reddening_error")
    difference = reddening - catalogue
    print(f"good {good.sum()}; median error {np.median(error[good]):.4f}")
    for name, mask in [
        ("all", good),
        ("controls, each without itself", good & (catalogue < options.largest)),
        ("0.05 to 0.2", good & (catalogue >= options.largest) & (catalogue < 0.2)),
        ("0.2 to 0.5", good & (catalogue >= 0.2) & (catalogue < 0.5)),
        ("above 0.5", good & (catalogue >= 0.5)),
        ("Bayestar19", good & (source == "b19")),
        ("SFD", good & (source == "sfd")),
        ("dwarfs", good & (column("logg") > 3.8)),
        ("giants", good & (column("logg") < 3.5)),
    ]:
        pulls = difference[mask] / np.hypot(error[mask], catalogue_error[mask])
        print(f"E, {name}: {mask.sum()} stars, median and 1.48 MAD {robust(difference[mask])}, pulls {robust(pulls)}")
    kinds = {"dwarfs": column("logg") > 3.8, "giants": column("logg") < 3.5}
    for map_name in ("sfd", "b19"):
        for kind, is_kind in kinds.items():
            for low, high in [(-np.inf, options.largest), (options.largest, 0.2), (0.2, 0.5)]:
                mask = good & (source == map_name) & is_kind & (catalogue >= low) & (catalogue < high)
                pulls = difference[mask] / np.hypot(error[mask], catalogue_error[mask])
                print(f"| {map_name}, {kind}, E below {high} | {mask.sum()} | {robust(difference[mask])} | {robust(pulls)} |")
    for name in ("b19", "sfd"):
        sure = good & (source == name) & (catalogue_error < 0.1)
        slope = np.sum(reddening[sure] * catalogue[sure]) / np.sum(catalogue[sure] ** 2)
        print(f"E by pairs over E of {name}: slope through zero {slope:.3f}, correlation {np.corrcoef(reddening[sure], catalogue[sure])[0, 1]:.3f}")
    parallax, parallax_error = column("corrected_parallax"), column("corrected_parallax_error")
    for name, select in [("dwarfs", column("logg") > 3.8), ("giants", column("logg") < 3.5)]:
        near = good & (parallax > 10 * parallax_error) & select
        geometric = column("g_mag")[near] - column("extinction")[near] + 5 * np.log10(parallax[near]) - 10
        of_m = column("absolute_magnitude")[near] - geometric
        of_error = np.hypot(column("absolute_magnitude_error")[near], 2.1715 * parallax_error[near] / parallax[near])
        print(f"M_G, {name} of parallaxes above ten errors: {near.sum()}, {robust(of_m)}, pulls {robust(of_m / of_error)}")
    spectroscopic, sigma = column("spectroscopic_parallax"), column("spectroscopic_parallax_error")
    for name, mask in [("all", good), ("below three errors", good & (parallax < 3 * parallax_error))]:
        pulls = (spectroscopic - parallax)[mask] / np.hypot(sigma, parallax_error)[mask]
        print(f"parallaxes, {name}: {mask.sum()} stars, pulls of spectroscopic less measured {robust(pulls)}")


if __name__ == "__main__":
    main()
