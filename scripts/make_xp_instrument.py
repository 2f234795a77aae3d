#!/usr/bin/env python3
"""Make photosphere's Gaia XP instrument files (safetensors).

The two that are built in, from the installed GaiaXPy package (2.1.5):

    python scripts/make_xp_instrument.py

One from configuration files in GaiaXPy's layout, as ESA publishes them with a data release (needs numpy, scipy):

    python scripts/make_xp_instrument.py FOLDER --name gaia-dr4 --release "Gaia DR4" -o gaia-dr4.safetensors

FOLDER holds, for <band> = bp and rp (a name may be given by an option instead):

    one *.xml              the internal bases: <hermiteFunction> or <spline> with <bpConfig>, <rpConfig>   (--bases)
    <band>*_dispersion.csv wavelengths in nm, then pseudo-wavelengths; two lines                           (--bp-dispersion, ...)
    <band>*_response.csv   wavelengths in nm, then photo-electrons per photon; two lines                   (--bp-response, ...)
    <band>*_bases.csv      the inverse bases, as GaiaXPy has them for DR3                                  (--bp-bases, ...)

Without any of the last three the file has no external calibration: it describes spectra in pseudo-wavelength only, and photosphere
refuses to make fluxes with it. `--external-as-internal` takes the internal bases for the inverse ones: a toy without the line-spread
function, whose fluxes are wrong by several per cent and more; such a file must carry a --warning, which the program repeats.

The file, in float64 unless it says otherwise; tensors marked * may be absent:

  <band>.internal.transformation       [n_bases, n_functions] *  bases as combinations of functions; absent: the functions themselves
  <band>.internal.pseudo_wavelength    [2, 2]  Hermite: rows are a range of pseudo-wavelength and that of the functions' argument
  <band>.internal.knots                [n_functions + order]     B-splines
  <band>.bases                         [n_bases, n_functions] *  inverse bases as combinations of functions; absent: the functions
  <band>.pseudo_wavelength             [2, 2]                    Hermite, as above, for the inverse bases
  <band>.bases.knots                   [n_functions + order]     B-splines, for the inverse bases
  <band>.dispersion.knots, .coefficients                         cubic spline (scipy splrep, s=0), nm -> pseudo-wavelength
  <band>.response.knots, .coefficients                           the same, nm -> photo-electrons per photon
  <band>.range                         [2]     nominal wavelength range in nm; between rp's first and bp's last the weight of RP grows
                                               linearly from 0 to 1, unless there is
  merge                                [n, 2] *                  wavelength in nm, weight of BP (not growing, from 1 to 0)
  <band>.archive_design                [n_active, n_bases] *     W m^-2 nm^-1 per coefficient at 336, 338 ... 1020 nm, only where the
                                                                 band has weight: the first wavelengths of BP, the last of RP
  constants                            [2]     1e9*h*c in J nm, telescope pupil area in m^2
  wavelength_range                     [2] *   where fluxes may be asked for, in nm; absent: 336 to 1020

Metadata (text): photosphere_xp_instrument = "1" (the layout), name, release, description, source, credit, and where it applies warning;
<band>_basis and <band>_inverse_basis = "hermite" or "b-spline", <band>_order and <band>_inverse_order (of the splines: degree + 1),
<band>_basis_function_id (`bp_basis_function_id` of the archive's spectra).

GaiaXPy uses tabulated matrices on its default grid and the instrument model on any other grid; for DR3 the two differ by up to 0.7 %
in BP below 400 nm, therefore both are kept.
"""

import argparse
import csv
import json
import struct
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
from scipy.interpolate import splrep

DATA = Path(__file__).parent.parent / "src/survey/data"
LAYOUT = "1"
BANDS = ("bp", "rp")
# GaiaXPy 2.1.5, core/satellite.py and core/nature.py.
RANGES = {"bp": (330.0, 643.0), "rp": (635.0, 1020.0)}
PUPIL_AREA = 0.7278
HC_NM = 1e9 * 2.99792458e8 * 6.62607004e-34
CREDIT_DR3 = "ESA/Gaia/DPAC; Montegriffo et al. 2023, A&A 674, A3; De Angeli et al. 2023, A&A 674, A2"


def local_name(element):
    return element.tag.rsplit("}", 1)[-1]


def find(element, name):
    """The first element of that local name in the tree, or None."""
    return next((inner for inner in element.iter() if local_name(inner) == name), None)


def text_of(element, name, path):
    inner = find(element, name)
    if inner is None or not (inner.text or "").strip():
        sys.exit(f"{path}: no <{name}> in <{local_name(element)}>")
    return inner.text.strip()


def numbers_of(element):
    return np.array([float(value.text) for value in element if local_name(value) == "value"])


def range_of(element):
    return [float(element.attrib["from"]), float(element.attrib["to"])]


def internal_bases(path):
    """Tensors and metadata of the internal bases in a GaiaXPy configuration (XML)."""
    root = ElementTree.parse(path).getroot()
    tensors, metadata = {}, {}
    kind = next((kind for kind in ("spline", "hermiteFunction") if find(root, kind) is not None), None)
    if kind is None:
        sys.exit(f"{path}: neither <hermiteFunction> nor <spline>")
    for band in BANDS:
        config = find(find(root, kind), f"{band}Config")
        if config is None:
            sys.exit(f"{path}: no <{band}Config>")
        metadata[f"{band}_basis_function_id"] = text_of(config, "uniqueId", path)
        matrix = find(config, "transformationMatrix")
        if kind == "spline":
            order, knots = int(text_of(config, "order", path)), numbers_of(find(config, "knots"))
            metadata |= {f"{band}_basis": "b-spline", f"{band}_order": str(order)}
            tensors[f"{band}.internal.knots"] = knots
            n_functions = len(knots) - order
        else:
            n_functions = int(text_of(config, "dimension", path))
            metadata[f"{band}_basis"] = "hermite"
            tensors[f"{band}.internal.pseudo_wavelength"] = [range_of(find(config, name)) for name in ("range", "normalizedRange")]
            if matrix is None:
                tensors[f"{band}.internal.transformation"] = np.identity(n_functions)
        if matrix is not None:
            tensors[f"{band}.internal.transformation"] = numbers_of(matrix).reshape(-1, n_functions)
    return tensors, metadata


def curve(path):
    """Wavelengths and values of a dispersion or response file."""
    wavelengths, values = np.genfromtxt(path, delimiter=",")
    return wavelengths, values


def external_curves(band, dispersion, response, wavelength_range):
    tensors = {f"{band}.range": list(wavelength_range)}
    for name, path in (("dispersion", dispersion), ("response", response)):
        knots, coefficients, degree = splrep(*curve(path), s=0)
        assert degree == 3
        tensors[f"{band}.{name}.knots"] = knots
        tensors[f"{band}.{name}.coefficients"] = coefficients[: len(knots) - 4]
    return tensors


def inverse_bases(band, path):
    """The inverse bases in GaiaXPy's layout: Hermite functions, combined twice."""
    csv.field_size_limit(sys.maxsize)
    with open(path, newline="") as file:
        row = next(csv.DictReader(file))
    array = lambda name: np.array([float(value) for value in row[name].strip("()").split(",")])
    n_bases, n_functions = int(row["nBases"]), int(row["nInverseBasesCoefficients"])
    coefficients = array("inverseBasesCoefficients").reshape(n_bases, n_functions)
    transformation = array("transformationMatrix").reshape(n_bases, int(row["nTransformedBases"]))
    limits = [[float(row[f"{name}Range{end}"]) for end in ("Min", "Max")] for name in ("pwl", "norm")]
    return {f"{band}.bases": transformation @ coefficients, f"{band}.pseudo_wavelength": limits}, {f"{band}_inverse_basis": "hermite"}


def internal_as_inverse(band, tensors, metadata):
    """The internal bases in the place of the inverse ones."""
    names = {"transformation": "bases", "knots": "bases.knots", "pseudo_wavelength": "pseudo_wavelength"}
    copied = {
        f"{band}.{to}": tensors[f"{band}.internal.{name}"] for name, to in names.items() if f"{band}.internal.{name}" in tensors
    }
    described = {f"{band}_inverse_basis": metadata[f"{band}_basis"]}
    if f"{band}_order" in metadata:
        described[f"{band}_inverse_order"] = metadata[f"{band}_order"]
    return copied, described


def with_kept_bits(path, tensors):
    """Tensors that an existing file has to 1e-13 of their largest number, with its bits: products of matrices end in other last bits on
    other machines, and the file's hash should not."""
    if not path.exists():
        return tensors
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header, kept = json.loads(content[8 : 8 + length]), dict(tensors)
    for name, values in tensors.items():
        if name in header and header[name]["shape"] == list(np.shape(values)):
            first, last = (8 + length + offset for offset in header[name]["data_offsets"])
            existing = np.frombuffer(content[first:last], dtype="<f8").reshape(np.shape(values))
            if np.abs(existing - values).max() <= 1e-13 * np.abs(existing).max():
                kept[name] = existing
    return kept


def write_safetensors(path, tensors, metadata):
    """Write float64 tensors in the safetensors layout: header length, JSON header, data."""
    header, data = {"__metadata__": {"photosphere_xp_instrument": LAYOUT} | metadata}, b""
    for name, values in sorted(tensors.items()):
        values = np.ascontiguousarray(values, dtype="<f8")
        if not np.isfinite(values).all():
            sys.exit(f"{name}: numbers that are not finite")
        header[name] = {"dtype": "F64", "shape": list(values.shape), "data_offsets": [len(data), len(data) + values.nbytes]}
        data += values.tobytes()
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    print(f"{path}: {path.stat().st_size} bytes, {len(tensors)} tensors")


def built_in():
    """Gaia DR3's instrument and the internal bases of cycle 04, from GaiaXPy."""
    from importlib.metadata import version

    from gaiaxpy.config.paths import config_path, hermite_bases_file, spline_bases_file
    from gaiaxpy.core import nature, satellite
    from gaiaxpy.core.config import load_xpmerge_from_xml, load_xpsampling_from_xml

    assert (HC_NM, PUPIL_AREA) == (1e9 * nature.C * nature.PLANCK, satellite.TELESCOPE_PUPIL_AREA)
    assert RANGES == {"bp": tuple(satellite.BP_WL), "rp": tuple(satellite.RP_WL)}
    source = f"GaiaXPy {version('gaiaxpy')} (BSD-3-Clause)"
    tensors, metadata = internal_bases(hermite_bases_file)
    tensors["constants"] = [HC_NM, PUPIL_AREA]
    grid, merge = load_xpmerge_from_xml()
    assert np.array_equal(grid, np.arange(336.0, 1021.0, 2.0))
    design = load_xpsampling_from_xml()
    for band, model in (("bp", "v375wi"), ("rp", "v142r")):
        files = {part: Path(config_path) / f"{band}C03_{model}_{part}.csv" for part in ("dispersion", "response", "bases")}
        inverse, described = inverse_bases(band, files["bases"])
        tensors |= external_curves(band, files["dispersion"], files["response"], RANGES[band]) | inverse
        metadata |= described
        tensors[f"{band}.archive_design"] = design[band].T[merge[band] > 0]
    metadata |= {
        "name": "gaia-dr3",
        "release": "Gaia DR3",
        "description": "external instrument model of Gaia DR3, BP v375wi and RP v142r",
        "source": f"{source}, configuration files of BP v375wi and RP v142r, {Path(hermite_bases_file).name}",
        "credit": CREDIT_DR3,
    }
    path = DATA / "xp_instrument_dr3.safetensors"
    write_safetensors(path, with_kept_bits(path, tensors), metadata)
    tensors, metadata = internal_bases(spline_bases_file)
    metadata |= {
        "name": "gaia-cycle04-toy",
        "release": "none (Gaia cycle 04, before DR4)",
        "description": "internal bases of Gaia's processing cycle 04 in pseudo-wavelength; a toy without external calibration",
        "warning": "a toy for tests of DR4-like files; not the instrument of Gaia DR4",
        "source": f"{source}, {Path(spline_bases_file).name}",
        "credit": "ESA/Gaia/DPAC",
    }
    write_safetensors(DATA / "xp_instrument_cycle04_toy.safetensors", tensors, metadata)


def one_file(folder, pattern, given):
    """The given file, or the one in the folder that the pattern fits, or None."""
    if given is not None:
        return given
    found = sorted(folder.glob(pattern)) if folder is not None else []
    if len(found) > 1:
        sys.exit(f"{folder}: {len(found)} files like {pattern} ({', '.join(file.name for file in found)}); name one by its option")
    return found[0] if found else None


def from_files(arguments):
    bases = one_file(arguments.folder, "*.xml", arguments.bases)
    if bases is None:
        sys.exit("no configuration of the internal bases (*.xml); name it with --bases")
    tensors, metadata = internal_bases(bases)
    used, external = [bases], set()
    for band in BANDS:
        parts = {}
        for part in ("dispersion", "response", "bases"):
            parts[part] = one_file(arguments.folder, f"{band}*_{part}.csv", getattr(arguments, f"{band}_{part}"))
        curves = [parts["dispersion"], parts["response"]]
        if arguments.external_as_internal:
            if None in curves or not arguments.warning:
                sys.exit("--external-as-internal needs dispersions, responses and a --warning")
            inverse, described = internal_as_inverse(band, tensors, metadata)
        elif None not in (*curves, parts["bases"]):
            inverse, described = inverse_bases(band, parts["bases"])
        elif any(parts.values()):
            missing = ", ".join(part for part, path in parts.items() if path is None)
            sys.exit(f"{band}: no {missing}; an external calibration needs dispersion, response and inverse bases")
        else:
            continue
        limits = getattr(arguments, f"{band}_range") or RANGES[band]
        tensors |= external_curves(band, *curves, limits) | inverse
        metadata |= described
        used += [path for path in parts.values() if path is not None]
        external.add(band)
    if len(external) == 1:
        sys.exit(f"an external calibration of {external.pop()} only")
    if external:
        tensors["constants"] = [HC_NM, PUPIL_AREA]
        if arguments.wavelength_range:
            tensors["wavelength_range"] = arguments.wavelength_range
    metadata |= {
        "name": arguments.name,
        "release": arguments.release,
        "description": arguments.description or f"made from {len(used)} configuration files",
        "source": ", ".join(path.name for path in used),
        "credit": arguments.credit,
    }
    if arguments.warning:
        metadata["warning"] = arguments.warning
    write_safetensors(arguments.output, tensors, metadata)


def main():
    parser = argparse.ArgumentParser(description="Make XP instrument files; without arguments, the built-in ones.")
    parser.add_argument("folder", nargs="?", type=Path, help="folder of configuration files in GaiaXPy's layout")
    parser.add_argument("--name", help="short name without blanks, e.g. gaia-dr4")
    parser.add_argument("--release", help='e.g. "Gaia DR4"')
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--bases", type=Path, help="XML of the internal bases")
    for band in BANDS:
        for part in ("dispersion", "response", "bases"):
            parser.add_argument(f"--{band}-{part}", type=Path)
        parser.add_argument(f"--{band}-range", type=float, nargs=2, metavar="NM", help="nominal range, for the merge weights")
    parser.add_argument("--wavelength-range", type=float, nargs=2, metavar="NM")
    parser.add_argument("--external-as-internal", action="store_true", help="toy: internal bases as the inverse ones")
    parser.add_argument("--warning", help="what the program has to say whenever the file is used")
    parser.add_argument("--description")
    parser.add_argument("--credit", default="ESA/Gaia/DPAC")
    arguments = parser.parse_args()
    if arguments.folder is None and arguments.bases is None:
        return built_in()
    if not (arguments.name and arguments.release and arguments.output):
        parser.error("--name, --release and --output are needed")
    if any(character.isspace() for character in arguments.name):
        parser.error("--name must not contain blanks")
    return from_files(arguments)


if __name__ == "__main__":
    main()
