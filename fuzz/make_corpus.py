"""Writes the seeds of the fuzz targets: small valid tables of every format and kind of column, and small hostile ones.

usage: make_corpus.py CORPUS_FOLDER     (astropy 8, h5py, pyarrow, numpy; all values are made up)
"""

import gzip
import io
import json
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits, votable
from astropy.table import MaskedColumn, Table

CORPUS = Path(sys.argv[1])
CORPUS.mkdir(parents=True, exist_ok=True)
INSTRUMENT = Path(__file__).resolve().parent.parent / "src" / "survey" / "data" / "xp_instrument_cycle04_toy.safetensors"
RECIPES = Path(__file__).resolve().parent.parent / "models" / "recipes"


def put(target, name, content):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


def sample():
    table = Table({"source_id": np.array([5853498713190525696, 2, 3]), "teff": [5772.0, 4000.0, np.nan]})
    table["teff"].unit = "K"
    table["parallax"] = MaskedColumn([1.0, 2.0, 3.0], mask=[False, True, False], unit="mas")
    table["count"] = MaskedColumn(np.array([1, 2, 3], dtype="int32"), mask=[False, False, True])
    table["name"] = ["a", "bc", ""]
    table["is_single"] = [True, False, True]
    table["flux"] = np.arange(6, dtype="float32").reshape(3, 2)
    table.meta["wavelengths"] = "[500.0, 600.0]"
    return table


def written(table, extension, **options):
    path = CORPUS / f"seed.{extension}"
    table.write(path, overwrite=True, **options)
    content = path.read_bytes()
    path.unlink()
    return content


def make_fits():
    put("fits", "table.fits", written(sample(), "fits"))
    lists = fits.Column("lists", "PD()", array=np.array([[1.0], [1.0, 2.0], []], dtype=object))
    texts = fits.Column("texts", "PA()", array=np.array(["x", "yz", ""], dtype=object))
    more = [
        lists, texts, fits.Column("bits", "11X", array=np.zeros((3, 11), bool)), fits.Column("z", "C", array=np.zeros(3, "complex64")),
        fits.Column("scaled", "I", bzero=32768, array=np.ones(3, "uint16")), fits.Column("u", "K", bzero=2**63, array=np.ones(3, "uint64")),
    ]
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(more, name="A"), fits.table_to_hdu(sample())]).writeto(buffer, checksum=True)
    put("fits", "two.fits", buffer.getvalue())
    put("fits", "truncated.fits", buffer.getvalue()[:9000])


def make_images():
    pixels = np.arange(60, dtype="float32").reshape(5, 12)
    plain = [fits.PrimaryHDU(pixels), fits.ImageHDU(pixels.astype("int16"), name="MASK"), fits.table_to_hdu(sample())]
    tiles = [
        fits.PrimaryHDU(),
        fits.CompImageHDU(pixels.astype("int32"), name="RICE", compression_type="RICE_1"),
        fits.CompImageHDU(pixels, name="GZIP", compression_type="GZIP_2", quantize_level=0),
    ]
    for name, hdus in {"plain": plain, "tiles": tiles}.items():
        buffer = io.BytesIO()
        fits.HDUList(hdus).writeto(buffer, checksum=True)
        put("images", f"{name}.fits", buffer.getvalue())


def make_votable():
    for form in ["tabledata", "binary", "binary2"]:
        table = sample()
        table["count"] = table["count"].filled(-1)
        document = votable.from_table(table)
        document.get_first_table().format = form
        buffer = io.BytesIO()
        document.to_xml(buffer)
        put("votable", f"{form}.xml", buffer.getvalue())
    put("votable", "entity.xml", '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><VOTABLE>&b;</VOTABLE>')
    field = '<FIELD name="x" datatype="float" arraysize="100000000000"/>'
    put("votable", "large.xml", f"<VOTABLE><RESOURCE><TABLE>{field}<DATA><TABLEDATA><TR><TD/></TR></TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>")


def make_parquet():
    table = pa.table({
        "source_id": pa.array([1, 2, None], pa.int64()),
        "flux": pa.array([[1.0, None], None, []], pa.list_(pa.float32())),
        "pair": pa.array([[1, 2], [3, 4], None], pa.list_(pa.int32(), 2)),
        "band": pa.array(["g", None, "g"]).dictionary_encode(),
        "when": pa.array([1, 2, 3], pa.timestamp("us")),
        "bytes": pa.array([b"x", b"\xff", None]),
        "mask": pa.array([True, False, None]),
    })
    for compression in ["none", "zstd", "snappy", "lz4", "brotli", "gzip"]:
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression=compression)
        put("parquet", f"{compression}.parquet", buffer.getvalue())
    # A footer with a list of two thousand million booleans, which the library would go through one by one.
    footer = bytes([0xD9, 0xF1, 0xFF, 0xFF, 0xFF, 0xFF, 0x07]) * 9 + bytes([0])
    put("parquet", "booleans.parquet", b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1")
    put("parquet", "astropy.parquet", written(sample(), "parquet"))


def make_text():
    plain = 'source_id,teff,name,flux\r\n5853498713190525696,5772,"a ""b""",[1.0, null]\r\n2,,null,(2.0)\r\n'
    put("csv", "plain.csv", plain)
    put("csv", "bom.csv", "\ufeff" + plain)
    put("csv", "bad.csv", "a,a\n1\n\xff")
    put("gzip", "plain.csv.gz", gzip.compress(plain.encode()))
    put("gzip", "two_members.csv.gz", gzip.compress(b"x\n1\n") + gzip.compress(b"2\n"))
    for method in ["null_value", "data_mask"]:
        put("ecsv", f"{method}.ecsv", written(sample(), "ecsv", serialize_method=method))
    aliases = "".join(f"# - &a{i} [{f'*a{i - 1},*a{i - 1}' if i else 'x'}]\n" for i in range(20))
    put("ecsv", "aliases.ecsv", f"# %ECSV 1.0\n# ---\n# datatype:\n# - {{name: x, datatype: float64}}\n# meta:\n{aliases}x\n1\n")
    put("ecsv", "large.ecsv", "# %ECSV 1.0\n# ---\n# datatype:\n# - {name: x, datatype: string, subtype: 'float64[99999999999]'}\nx\n\"[1]\"\n")
    rows = [{"source_id": 1, "flux": [1.0, None], "name": "a"}, {"source_id": 2, "flux": None}]
    put("json", "records.json", json.dumps(rows))
    put("json", "columns.json", json.dumps({"source_id": [1, 2], "teff": [1.0, None]}))
    fields = [{"name": "source_id", "datatype": "long"}, {"name": "teff", "datatype": "double", "unit": "K"}]
    put("json", "tap.json", json.dumps({"metadata": fields, "data": [[1, 2.0], [2, None]]}))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("a/1.csv", plain)
        bundle.writestr("a/2.csv", plain)
    put("zip", "bundle.zip", buffer.getvalue())


def make_instrument():
    """The toy as it is, and an instrument of three bases with external calibration, as scripts/make_xp_instrument.py lays them out."""
    put("instrument", "toy.safetensors", INSTRUMENT.read_bytes())
    metadata = {"photosphere_xp_instrument": "1", "name": "made-up", "release": "none", "description": "made up"}
    tensors = {"constants": np.array([1e-25, 1.0])}
    for band, (low, high) in {"bp": (330.0, 680.0), "rp": (640.0, 1050.0)}.items():
        metadata |= {f"{band}_basis": "hermite", f"{band}_inverse_basis": "hermite", f"{band}_basis_function_id": "1"}
        knots = np.concatenate([[300.0] * 4, [700.0], [1100.0] * 4])
        tensors |= {
            f"{band}.internal.transformation": np.eye(3),
            f"{band}.internal.pseudo_wavelength": np.array([[0.0, 60.0], [-10.0, 10.0]]),
            f"{band}.bases": np.eye(3),
            f"{band}.pseudo_wavelength": np.array([[0.0, 60.0], [-10.0, 10.0]]),
            f"{band}.dispersion.knots": knots,
            f"{band}.dispersion.coefficients": np.linspace(0.0, 60.0, 5),
            f"{band}.response.knots": knots,
            f"{band}.response.coefficients": np.ones(5),
            f"{band}.range": np.array([low, high]),
        }
    header, data = {"__metadata__": metadata}, b""
    for name, values in sorted(tensors.items()):
        content = values.astype("<f8").tobytes()
        header[name] = {"dtype": "F64", "shape": list(values.shape), "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    put("instrument", "three.safetensors", len(text).to_bytes(8, "little") + text + data)


def make_hdf5():
    rows = {"source_id": np.array([1, 2, 3]), "flux": np.arange(6, dtype="f4").reshape(3, 2), "name": np.array([b"a", b"bc", b""])}
    rows |= {"large": np.array([1, 2, 2**64 - 1], "u8"), "teff": np.array([5772.0, np.nan, 4000.0]), "count": np.array([1, 2, 3], "i2")}
    for kind, options in {"plain": {}, "gzip": {"chunks": True, "compression": "gzip", "shuffle": True}, "lzf": {"chunks": True, "compression": "lzf"}}.items():
        for version in ["earliest", "latest"]:
            buffer = io.BytesIO()
            with h5py.File(buffer, "w", libver=version) as file:
                for name, values in rows.items():
                    file.create_dataset(name, data=values, **options, fletcher32=kind == "gzip")
                file.create_group("group")
                file["text"] = np.array(["x", "yz", ""], dtype=h5py.string_dtype())
            put("hdf5", f"{kind}_{version}.h5", buffer.getvalue())


def image(name, values, **cards):
    hdu = fits.ImageHDU(values, name=name)
    hdu.header.update(cards)
    return hdu


def make_surveys():
    """A few pixels in the layouts of DESI's coadds, LAMOST's three and SDSS's two."""
    grid, flux = np.array([4000.0, 4001.0, 4002.0, 4003.0]), np.ones((2, 4), "f4")
    fibres = Table({"TARGETID": [11, 12], "OBJTYPE": ["TGT", "SKY"], "COADD_FIBERSTATUS": np.zeros(2, "i4")})
    desi = [fits.PrimaryHDU(), fits.table_to_hdu(fibres)]
    desi[1].name = "FIBERMAP"
    for arm in "BR":
        shift = 3.0 if arm == "R" else 0.0
        desi += [image(f"{arm}_WAVELENGTH", grid + shift, BUNIT="Angstrom"), image(f"{arm}_FLUX", flux, BUNIT="10**-17 erg/(s cm2 Angstrom)")]
        desi += [image(f"{arm}_IVAR", flux)]
        # Both arms whole are more than the fuzzer's largest file.
        desi += [image("B_MASK", np.zeros((2, 4), "i4")), image("B_RESOLUTION", np.ones((2, 3, 4), "f4"))] if arm == "B" else []
    rows = np.array([np.ones(4), np.ones(4), 10 ** (3.6 + 1e-4 * np.arange(4)), np.zeros(4), np.zeros(4)], "f4")
    cards = {"TELESCOP": "LAMOST", "OBSID": 101, "COEFF0": 3.6, "COEFF1": 1e-4, "DC-FLAG": 1, "VACUUM": True, "Z": 0.0}
    lamost = fits.PrimaryHDU(rows)
    lamost.header.update(cards)
    table = Table({"FLUX": rows[:1], "IVAR": rows[1:2], "WAVELENGTH": rows[2:3], "ANDMASK": rows[3:4], "ORMASK": rows[4:]})
    first = fits.PrimaryHDU()
    first.header.update(cards)
    coadd = Table({"flux": rows[0], "loglam": np.log10(rows[2]), "ivar": rows[1], "and_mask": np.zeros(4, "i4"), "or_mask": np.zeros(4, "i4")})
    spectrum = fits.table_to_hdu(coadd)
    spectrum.name = "COADD"
    found = fits.table_to_hdu(Table({"Z": [0.0], "THING_ID": [7]}))
    found.name = "SPECOBJ"
    files = {"desi": desi, "lamost_image": [lamost], "lamost_table": [first, fits.table_to_hdu(table)], "sdss": [fits.PrimaryHDU(), spectrum, found]}
    for name, hdus in files.items():
        buffer = io.BytesIO()
        fits.HDUList(hdus).writeto(buffer)
        put("surveys", f"{name}.fits", buffer.getvalue())


def make_survey():
    observations = sample()["source_id", "teff", "parallax", "flux"]
    observations["flux_error"] = np.full((3, 2), 0.1, dtype="float32")
    observations["flux_covariance_triu"] = np.tile(np.array([0.01, 0.0, 0.01], dtype="float32"), (3, 1))
    observations["teff_error"] = [50.0, 0.0, 1e20]
    observations.meta["bands"] = '["a", "b"]'
    put("observations", "observations.ecsv", written(observations, "ecsv"))
    n = 55
    spectra = Table({"source_id": [1, 2]})
    for band, basis in [("bp", 56), ("rp", 57)]:
        spectra[f"{band}_basis_function_id"] = [basis] * 2
        spectra[f"{band}_n_parameters"] = [n] * 2
        spectra[f"{band}_standard_deviation"] = [1.0, 1.1]
        spectra[f"{band}_coefficients"] = np.round(1e3 * np.exp(-np.arange(n) / 5.0), 1)[None].repeat(2, 0)
        spectra[f"{band}_coefficient_errors"] = np.ones((2, n))
        spectra[f"{band}_coefficient_correlations"] = np.zeros((2, n * (n - 1) // 2), "int8").astype("float32")
    put("spectra", "spectra.ecsv", written(spectra, "ecsv"))
    for recipe in RECIPES.glob("*.toml"):
        put("recipes", recipe.name, recipe.read_bytes())


for make in [make_fits, make_images, make_votable, make_parquet, make_text, make_instrument, make_hdf5, make_surveys, make_survey]:
    make()
