"""Fit a HATS catalogue of observations with photosphere through LSDB, partition by partition on a Dask cluster.

    python fit_with_lsdb.py CATALOGUE MODEL OUTPUT
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import lsdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from dask.distributed import Client

INDEX = "_healpix_29"


def fit_partition(stars: pd.DataFrame, model: str, metadata: dict) -> pd.DataFrame:
    """The catalogue of a partition, by the command line."""
    with tempfile.TemporaryDirectory() as folder:
        observations, catalogue = f"{folder}/observations.parquet", f"{folder}/catalogue.parquet"
        table = pa.Table.from_pandas(stars.reset_index(), preserve_index=False)
        pq.write_table(table.replace_schema_metadata(metadata), observations)
        command = ["photosphere", "fit", model, observations, "-o", catalogue, "--keep", INDEX, "--threads", "1", "--quiet"]
        subprocess.run(command, check=True)
        fitted = pq.read_table(catalogue).replace_schema_metadata(None)
        return fitted.to_pandas(types_mapper=pd.ArrowDtype).set_index(INDEX)


def main(path: str, model: str, output: str) -> None:
    # What the observation file says of its wavelengths; partitions lose it on their way through LSDB.
    metadata = pq.read_schema(Path(path) / "dataset" / "_common_metadata").metadata
    metadata = {key: metadata[key] for key in (b"wavelengths", b"bands")}
    stars = lsdb.open_catalog(path)
    # Any selection of LSDB's may stand here, as in stars.cone_search(ra, dec, radius_arcsec).
    fitted = stars.map_partitions(fit_partition, model=str(Path(model).resolve()), metadata=metadata)
    fitted.write_catalog(output, catalog_name=Path(output).name)


if __name__ == "__main__":
    with Client():  # one process per core here; the address of a scheduler for a cluster
        main(*sys.argv[1:])
