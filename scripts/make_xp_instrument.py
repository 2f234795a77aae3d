#!/usr/bin/env python3
"""Derive photosphere's Gaia XP instrument file from the installed GaiaXPy package.

Usage: python scripts/make_xp_instrument.py [output]      (needs gaiaxpy 2.1.5, numpy, scipy)

The external instrument model of Gaia DR3 (BP v375wi, RP v142r; Montegriffo et al. 2023, A&A 674, A3) consists of a
dispersion (wavelength -> pseudo-wavelength), a response and a set of inverse bases. The file keeps, in float64,
what is needed to evaluate design matrices on any wavelength grid:

  <band>.bases                 [n_bases, n_hermite]  transformation matrix times inverse-bases coefficients
  <band>.pseudo_wavelength     [2, 2]                rows: pseudo-wavelength range, Hermite argument range (linear map)
  <band>.dispersion.knots, .coefficients             cubic interpolating spline (scipy splrep, s=0), nm -> pseudo-wavelength
  <band>.response.knots, .coefficients               the same for the response, nm -> photo-electrons per photon
  <band>.range                 [2]                   nominal wavelength range in nm, which defines the merge weights
  <band>.archive_design        [n_active, n_bases]   W m^-2 nm^-1 per coefficient on the archive's grid (336, 338 ... 1020 nm), only
                                                     the wavelengths where the band has weight: the first of BP, the last of RP
  constants                    [2]                   1e9*h*c in J nm, telescope pupil area in m^2

GaiaXPy uses the tabulated matrices on its default grid and the instrument model on any other grid; the two differ by up to
0.7 % in BP below 400 nm, therefore both are kept.
"""

import json
import struct
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
from gaiaxpy.calibrator.external_instrument_model import ExternalInstrumentModel
from gaiaxpy.config.paths import config_path
from gaiaxpy.core import nature, satellite
from gaiaxpy.core.config import load_xpmerge_from_xml, load_xpsampling_from_xml
from scipy.interpolate import splrep

MODELS = {"bp": ("v375wi", satellite.BP_WL, 56), "rp": ("v142r", satellite.RP_WL, 57)}
DEFAULT_OUTPUT = Path(__file__).parent.parent / "src/survey/data/xp_instrument_dr3.safetensors"


def band_tensors(band, model, wavelength_range):
    """The tensors of one band, by name."""
    files = [str(Path(config_path) / f"{band}C03_{model}_{part}.csv") for part in ("dispersion", "response", "bases")]
    instrument = ExternalInstrumentModel.from_config_csv(*files)
    bases = instrument.bases
    tensors = {
        "bases": bases["transformationMatrix"] @ bases["inverseBasesCoefficients"],
        "pseudo_wavelength": [[bases["pwlRangeMin"], bases["pwlRangeMax"]], [bases["normRangeMin"], bases["normRangeMax"]]],
        "range": [wavelength_range.low, wavelength_range.high],
    }
    for name, curve, key in (("dispersion", instrument.dispersion, "pseudo-wavelength"), ("response", instrument.response, "response")):
        knots, coefficients, degree = splrep(curve["wavelength"], curve[key], s=0)
        assert degree == 3
        tensors[f"{name}.knots"] = knots
        tensors[f"{name}.coefficients"] = coefficients[: len(knots) - 4]
    return {f"{band}.{name}": np.asarray(values, dtype="<f8") for name, values in tensors.items()}


def write_safetensors(path, tensors, metadata):
    """Write float64 tensors in the safetensors layout: header length, JSON header, data."""
    header, data = {"__metadata__": metadata}, b""
    for name, values in sorted(tensors.items()):
        block = np.ascontiguousarray(values).tobytes()
        header[name] = {"dtype": "F64", "shape": list(values.shape), "data_offsets": [len(data), len(data) + len(block)]}
        data += block
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def main():
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_OUTPUT
    tensors = {"constants": np.array([1e9 * nature.C * nature.PLANCK, satellite.TELESCOPE_PUPIL_AREA])}
    metadata = {
        "source": f"GaiaXPy {version('gaiaxpy')} (BSD-3-Clause), configuration files of BP v375wi and RP v142r",
        "credit": "ESA/Gaia/DPAC; Montegriffo et al. 2023, A&A 674, A3; De Angeli et al. 2023, A&A 674, A2",
    }
    archive_grid, merge = load_xpmerge_from_xml()
    archive_design = load_xpsampling_from_xml()
    for band, (model, wavelength_range, basis_function_id) in MODELS.items():
        tensors |= band_tensors(band, model, wavelength_range)
        active = merge[band] > 0
        tensors[f"{band}.archive_design"] = np.ascontiguousarray(archive_design[band].T[active], dtype="<f8")
        metadata[f"{band}_basis_function_id"] = str(basis_function_id)
    assert np.array_equal(archive_grid, np.arange(336.0, 1021.0, 2.0))
    output.parent.mkdir(parents=True, exist_ok=True)
    write_safetensors(output, tensors, metadata)
    print(f"{output}: {output.stat().st_size} bytes, {len(tensors)} tensors")


if __name__ == "__main__":
    main()
