#!/usr/bin/env python3
"""Are stars flagged that a model has never seen? White dwarfs, hot subdwarfs, M dwarfs, hot and red supergiants as black bodies.

    photosphere simulate --new --stars 5000 -o new.parquet
    python scripts/out_of_domain.py MODEL new.parquet FOLDER [--program photosphere]

Needs numpy and pyarrow. Every star takes the place of a random one of NEW: with its relative flux errors, its parallax error, and at the
distance where its median flux is the same. A black body has no lines and no dust, so this is an upper bound of what is found; that stars
are hidden by being ordinary in every colour, no flag can know. Printed: shares with bit 3 (poor fit) or 4 (improbable labels), with bit 8
(outside the training range), with any flag, and outside the basic cut, beside those of the stars of NEW.
"""

import argparse
import json
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

PLANCK, LIGHT, BOLTZMANN = 6.62607015e-34, 2.99792458e8, 1.380649e-23
METRES_PER_PARSEC, METRES_PER_SOLAR_RADIUS = 3.0856775814913673e16, 6.957e8
# Effective temperatures (K) and radii (solar), uniform between both.
KINDS = {
    "white dwarf": ((8000, 30000), (0.010, 0.014)),
    "hot subdwarf": ((25000, 40000), (0.12, 0.25)),
    "M dwarf": ((2600, 3200), (0.1, 0.3)),
    "hot supergiant": ((10000, 20000), (20, 60)),
    "red supergiant": ((3300, 3900), (300, 800)),
}


def black_body(wavelength, teff, radius, parallax):
    """Flux in 1e-18 W/m2/nm at wavelengths in nm, of radii in solar radii and parallaxes in mas, [N, W]."""
    metres = wavelength * 1e-9
    per_metre = 2 * PLANCK * LIGHT**2 / metres**5 / np.expm1(PLANCK * LIGHT / (metres * BOLTZMANN * teff[:, None]))
    distance = 1e3 / parallax * METRES_PER_PARSEC
    return np.pi * per_metre * ((radius * METRES_PER_SOLAR_RADIUS / distance) ** 2)[:, None] * 1e-9 / 1e-18


def lists(values, width):
    return pa.ListArray.from_arrays(pa.array(np.arange(0, values.size + 1, width), pa.int32()), pa.array(values.ravel()))


def shares(path):
    bits = pq.read_table(path, columns=["quality_flags"])["quality_flags"].to_numpy()
    return [np.mean(bits & (8 | 16) != 0), np.mean(bits & 256 != 0), np.mean(bits != 0), np.mean(bits >= 8)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("new")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--program", default="photosphere")
    parser.add_argument("--stars", type=int, default=1000, help="of every kind [1000]")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(3)
    table = pq.read_table(arguments.new)
    wavelength = np.array(json.loads(table.schema.metadata[b"wavelengths"]))
    width = len(wavelength)
    flux, error = (np.asarray(table[name].combine_chunks().flatten(), float).reshape(-1, width) for name in ("flux", "flux_error"))
    others = table.drop_columns([name for name in table.column_names if "covariance" in name or name in ("flux", "flux_error", "parallax")])

    def fit(observations, name):
        catalogue = arguments.folder / f"{name}_catalogue.parquet"
        words = [arguments.program, "fit", arguments.model, str(observations), "-o", str(catalogue), "--overwrite", "--quiet"]
        subprocess.run(words, check=True)
        return shares(catalogue)

    print(f"{'':16s} bit 3 or 4  bit 8  any flag  outside the basic cut")
    rows = {"stars of NEW": fit(arguments.new, "new")}
    for kind, (temperatures, radii) in KINDS.items():
        n = min(arguments.stars, table.num_rows)
        chosen = random.choice(table.num_rows, n, replace=False)
        teff, radius = random.uniform(*temperatures, n), random.uniform(*radii, n)
        at_one_mas = np.median(black_body(wavelength, teff, radius, np.ones(n)), axis=1)
        parallax = np.sqrt(np.maximum(np.nanmedian(flux[chosen], axis=1), 1e-3) / at_one_mas)
        truth = black_body(wavelength, teff, radius, parallax)
        errors = np.abs(truth * error[chosen] / flux[chosen])
        observed = np.where(np.isfinite(errors), truth + random.standard_normal(truth.shape) * np.nan_to_num(errors), np.nan)
        stars = others.take(pa.array(chosen))
        noise = random.standard_normal(n) * np.asarray(stars["parallax_error"], float)
        for name, values in (("flux", lists(observed, width)), ("flux_error", lists(errors, width)), ("parallax", pa.array(parallax + noise))):
            field = table.schema.field(name).with_type(values.type)
            stars = stars.append_column(field, values)
        path = arguments.folder / f"{kind.replace(' ', '_')}.parquet"
        pq.write_table(stars.replace_schema_metadata(table.schema.metadata), path)
        rows[kind] = fit(path, path.stem)
    for name, row in rows.items():
        print(f"{name:16s} {row[0]:10.3f}  {row[1]:5.3f}  {row[2]:8.3f}  {row[3]:21.3f}")


if __name__ == "__main__":
    main()
