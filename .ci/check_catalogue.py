"""Opens the catalogue files that photosphere wrote as a user would, and checks that nothing was lost on the way.

usage: check_catalogue.py FOLDER (with catalogue.fits, catalogue.parquet, catalogue.ecsv and source_ids.txt)
"""

import sys
from pathlib import Path

import numpy as np
import pandas
import pyarrow.parquet
from astropy.table import Table

UNITS = {"teff": "K", "teff_error": "K", "parallax": "mas", "parallax_error": "mas", "extinction": "mag", "a_550": "mag"}
LISTS = ["covariance_triu", "inverse_covariance_triu"]


def fail_unless(condition, message):
    if not condition:
        sys.exit(f"catalogue check failed: {message}")


def check_ids(name, ids, expected):
    ids = np.asarray(ids)
    fail_unless((ids.dtype.kind, ids.dtype.itemsize) == ("i", 8), f"{name}: source_id is {ids.dtype}, not a 64-bit integer")
    fail_unless(ids.tolist() == expected, f"{name}: identifiers differ from the text file")


def check_astropy(path, expected):
    table = Table.read(path)
    check_ids(path.name, table["source_id"], expected)
    for column, unit in UNITS.items():
        fail_unless(str(table[column].unit) == unit, f"{path.name}: {column} has unit {table[column].unit}, not {unit}")
    for column in table.colnames:
        fail_unless(table[column].description, f"{path.name}: {column} has no description")
    fail_unless("bit" in table["quality_flags"].description, f"{path.name}: the flags are not documented")
    for column in LISTS:
        triangle = np.ma.filled(np.ma.asarray(table[column], dtype=float), np.nan)
        fail_unless(triangle.shape == (len(expected), 15), f"{path.name}: {column} has shape {triangle.shape}")
    return table


def main():
    folder = Path(sys.argv[1])
    expected = [int(line) for line in (folder / "source_ids.txt").read_text().split()]
    fail_unless(max(expected) > 2**53, "the identifiers are too small to show lost digits")

    tables = [check_astropy(folder / name, expected) for name in ("catalogue.fits", "catalogue.ecsv")]
    for column in ("teff", "parallax", "chi2"):
        fits, ecsv = (np.ma.filled(np.ma.asarray(table[column], dtype=float), np.nan) for table in tables)
        fail_unless(np.allclose(fits, ecsv, rtol=1e-12, equal_nan=True), f"{column} differs between FITS and ECSV")

    # A Fisher covariance and its inverse multiply to the identity.
    upper = np.triu_indices(5)
    table = tables[0]
    n_checked = 0
    for row in table[table["quality_flags"] < 8]:
        matrices = []
        for column in LISTS:
            matrix = np.zeros((5, 5))
            matrix[upper] = row[column]
            matrices.append(matrix + np.triu(matrix, 1).T)
        scale = np.sqrt(np.diag(matrices[0]))
        product = (matrices[0] / np.outer(scale, scale)) @ (matrices[1] * np.outer(scale, scale))
        fail_unless(np.allclose(product, np.eye(5), atol=1e-5), f"star {row['source_id']}: covariance and inverse disagree")
        fail_unless(np.isclose(scale[0], row["teff_error"], rtol=1e-9), f"star {row['source_id']}: teff_error disagrees")
        n_checked += 1
    fail_unless(n_checked > 0, "no star passes quality_flags < 8")

    parquet = folder / "catalogue.parquet"
    check_ids(parquet.name, pandas.read_parquet(parquet)["source_id"], expected)
    schema = pyarrow.parquet.read_schema(parquet)
    for column, unit in UNITS.items():
        metadata = schema.field(column).metadata or {}
        fail_unless(metadata.get(b"unit") == unit.encode(), f"{parquet.name}: {column} has metadata {metadata}")
        fail_unless(metadata.get(b"description"), f"{parquet.name}: {column} has no description")

    print(f"catalogue check passed: {len(expected)} stars in FITS, ECSV and Parquet, {n_checked} covariances inverted")


if __name__ == "__main__":
    main()
