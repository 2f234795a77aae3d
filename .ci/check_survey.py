"""Fit a small HATS catalogue of simulated stars, and open the result with hats and lsdb; fit it through LSDB, with the same numbers.

    python .ci/check_survey.py PROGRAM MODEL FOLDER
"""

import os
import subprocess
import sys
from pathlib import Path

import lsdb
from dask.distributed import Client
from hats.io.validation import is_valid_catalog
from hats_import import pipeline_with_client
from hats_import.catalog.arguments import ImportArguments

REPOSITORY = Path(__file__).resolve().parent.parent
N_STARS = 1000


def make_catalogue(photosphere: str) -> None:
    """The HATS catalogue "stars", in pixels of at most 200 stars."""
    subprocess.run([photosphere, "simulate", "--stars", str(N_STARS), "--new", "-o", "stars.parquet", "-q"], check=True)
    arguments = ImportArguments(
        output_path=".", output_artifact_name="stars", file_reader="parquet", input_file_list=["stars.parquet"],
        use_schema_file="stars.parquet", ra_column="ra", dec_column="dec", sort_columns="source_id", pixel_threshold=200,
        progress_bar=False,
    )
    with Client(n_workers=1, threads_per_worker=1) as client:
        pipeline_with_client(arguments, client)


def main(photosphere: str, model: str, folder: str) -> None:
    photosphere, model = os.path.abspath(photosphere), os.path.abspath(model)
    os.makedirs(folder)
    os.chdir(folder)
    make_catalogue(photosphere)
    subprocess.run([photosphere, "fit", model, "stars", "-o", "fitted/", "-q"], check=True)
    subprocess.run([photosphere, "finalize", "fitted", "-q"], check=True)
    assert is_valid_catalog("fitted", strict=True)
    fitted = lsdb.open_catalog("fitted").compute()
    assert len(fitted) == N_STARS and fitted["teff"].notna().all()

    path = os.pathsep.join([os.path.dirname(photosphere), os.environ["PATH"]])
    script = REPOSITORY / "docs/src/scripts/fit_with_lsdb.py"
    subprocess.run([sys.executable, script, "stars", model, "fitted_by_lsdb"], check=True, env={**os.environ, "PATH": path})
    other = lsdb.open_catalog("fitted_by_lsdb").compute()
    columns = ["source_id", "teff", "teff_error", "parallax", "chi2", "quality_flags"]
    assert fitted[columns].equals(other[columns]), "the same numbers by either way"
    print(f"{len(fitted)} stars in {len(lsdb.open_catalog('fitted').get_healpix_pixels())} pixels, as HATS catalogues by two ways")


if __name__ == "__main__":
    main(*sys.argv[1:])
