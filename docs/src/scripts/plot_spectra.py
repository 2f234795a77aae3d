#!/usr/bin/env python3
"""Figure of an observation file of spectra: flux over continuum with its error, and, where a second file of the same
stars without continuum is given, flux and the continuum that both imply.

    plot_spectra.py normalised.parquet figure.png [--raw raw.parquet] [--stars 6] [--range 4800 5500]

Needs pyarrow, numpy and matplotlib.
"""
import argparse
import json

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pyarrow.parquet as pq


def read(path):
    table = pq.read_table(path)
    metadata = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    wavelength = np.array(json.loads(metadata["wavelengths"]))
    lists = {
        name: table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(-1, len(wavelength))
        for name in ("flux", "flux_error")
    }
    title = f"{metadata.get('wavelength_unit', 'nm')}, {metadata.get('wavelength_medium', 'medium unknown')}"
    return table, wavelength, lists, title


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("observations")
    parser.add_argument("figure")
    parser.add_argument("--raw", help="the same stars, prepared with continuum = { method = \"none\" }")
    parser.add_argument("--stars", type=int, default=6)
    parser.add_argument("--range", type=float, nargs=2)
    arguments = parser.parse_args()
    table, wavelength, lists, title = read(arguments.observations)
    order = np.argsort(table["teff"].to_numpy()) if "teff" in table.column_names else np.arange(table.num_rows)
    rows = order[np.linspace(0, len(order) - 1, min(arguments.stars, len(order))).astype(int)]
    ids = table["source_id"].to_numpy()
    raw = None
    if arguments.raw:
        raw_table, _, raw_lists, _ = read(arguments.raw)
        raw = {star: flux for star, flux in zip(raw_table["source_id"].to_numpy(), raw_lists["flux"])}
    n_columns = 2 if raw else 1
    figure, axes = plt.subplots(len(rows), n_columns, figsize=(9 * n_columns, 2.1 * len(rows)), squeeze=False, sharex=True)
    for axis, row in zip(axes, rows):
        flux, error = lists["flux"][row], lists["flux_error"][row]
        axis[0].fill_between(wavelength, flux - error, flux + error, color="0.8", lw=0)
        axis[0].plot(wavelength, flux, lw=0.5, color="k")
        axis[0].axhline(1, color="tab:red", lw=0.6)
        axis[0].set_ylim(0.1, 1.4)
        label = [f"{ids[row]}", f"S/N {table['snr'][int(row)].as_py():.0f}"]
        label += [f"{name} {table[name][int(row)].as_py():.5g}" for name in ("teff", "logg", "feh") if name in table.column_names]
        axis[0].set_title(", ".join(label), fontsize=8, loc="left")
        if raw:
            observed = raw[ids[row]]
            axis[1].plot(wavelength, observed, lw=0.5, color="k")
            with np.errstate(divide="ignore", invalid="ignore"):
                axis[1].plot(wavelength, observed / flux, lw=1, color="tab:red")
            axis[1].set_ylim(0, 1.3 * np.nanpercentile(observed, 99))
    for axis in axes[-1]:
        axis.set_xlabel(title)
    if arguments.range:
        axes[0][0].set_xlim(*arguments.range)
    figure.tight_layout()
    figure.savefig(arguments.figure, dpi=110)


if __name__ == "__main__":
    main()
