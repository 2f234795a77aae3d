#!/usr/bin/env python3
"""Are zero points that were put into a catalogue found again, and what do labels lose without them?

    python3 scripts/zero_points.py MODEL OBSERVATIONS FOLDER [--put g=0.05,w1=-0.05] [--program photosphere]

Adds magnitudes to bands (names of the model's data vector; all XP samples below 490 nm for `blue`) of an
observation file, solves for the zero points of both files with `photosphere zero-points`, fits both, and the
changed one with its zero points. Prints what was put in beside the difference of the two solutions with its
error, and medians of the differences of labels to the fit of the file as it was, for stars in its basic cut.
Needs numpy and pyarrow.
"""

import argparse
import json
import pathlib
import subprocess
import tomllib

import numpy as np
import pyarrow.parquet as pq


def fainter(path, offsets, output):
    """The observation file at `path` with bands fainter by so many magnitudes, to `output`."""
    table = pq.read_table(path)
    metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    names, wavelengths = json.loads(metadata["bands"]), np.array(json.loads(metadata["wavelengths"]))
    magnitudes = np.zeros(len(names))
    for name, offset in offsets.items():
        chosen = [k for k, band in enumerate(names) if band == name]
        if name == "blue":
            chosen = [k for k, band in enumerate(names) if band.startswith("xp_") and wavelengths[k] < 490.0]
        if not chosen:
            raise SystemExit(f"{name}: no such band; there are {', '.join(names)}")
        magnitudes[chosen] = offset
    position = table.schema.get_field_index("flux")
    field = table.schema.field(position)
    column = table.column(position).combine_chunks()
    values = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, len(names))
    changed = (values * 10.0 ** (-0.4 * magnitudes)).astype(values.dtype).ravel()
    flux = type(column).from_arrays(changed, len(names)).cast(field.type)
    pq.write_table(table.set_column(position, field, flux), output)


def read(path):
    """Labels and flags of a catalogue, in the order of its identifiers."""
    table = pq.read_table(path)
    order = np.argsort(table.column("source_id").to_numpy())
    wanted = [name for name in ("teff", "feh", "logg", "extinction", "parallax") if name in table.column_names]
    columns = {name: table.column(name).to_numpy()[order] for name in wanted}
    return columns, table.column("quality_flags").to_numpy()[order]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("observations")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--put", default="g=0.05,w1=-0.05")
    parser.add_argument("--sigma", default="0.05")
    parser.add_argument("--program", default="photosphere")
    arguments = parser.parse_args()
    folder = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    put = {name: float(value) for name, value in (item.split("=") for item in arguments.put.split(","))}
    files = {"as_it_was": pathlib.Path(arguments.observations), "changed": folder / "observations_changed.parquet"}
    fainter(files["as_it_was"], put, files["changed"])

    def run(*words):
        subprocess.run([arguments.program, *map(str, words), "--overwrite"], check=True)

    solved = {}
    for name, path in files.items():
        run("zero-points", arguments.model, path, "-o", folder / f"{name}.toml", "--sigma", arguments.sigma)
        solved[name] = tomllib.loads((folder / f"{name}.toml").read_text())["zero_points"]
        run("fit", arguments.model, path, "-o", folder / f"{name}.parquet")
    run("fit", arguments.model, files["changed"], "-o", folder / "mended.parquet", "--zero-points", folder / "changed.toml")
    run("fit", arguments.model, files["as_it_was"], "-o", folder / "own.parquet", "--zero-points", folder / "as_it_was.toml")

    print(f"{'band':<14}{'as it was':>20}{'put in':>9}{'difference found':>18}")
    for name, point in solved["as_it_was"].items():
        other = solved["changed"][name]
        was = f"{point['offset']:+.4f} ± {point['error']:.4f}"
        print(f"{name:<14}{was:>20}{put.get(name, 0.0):>9.3f}{other['offset'] - point['offset']:>+18.4f}")
    catalogues = {name: read(folder / f"{name}.parquet") for name in ("as_it_was", "changed", "mended", "own")}
    good = catalogues["as_it_was"][1] < 8
    print(f"\nmedian differences of {good.sum()} stars: changed, and the same with its zero points; as it was, with its own")
    for label, values in catalogues["as_it_was"][0].items():
        shifts = [np.nanmedian((catalogues[name][0][label] - values)[good]) for name in ("changed", "mended", "own")]
        mended = np.nanmedian((catalogues["mended"][0][label] - catalogues["own"][0][label])[good])
        print(f"{label:<12}{shifts[0]:>+10.4f}{shifts[1]:>+10.4f}{shifts[2]:>+10.4f}   both mended {mended:+.4f}")


if __name__ == "__main__":
    main()
