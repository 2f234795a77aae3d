#!/usr/bin/env python3
"""Is the default fit unbiased for samples? Medians of (estimate - truth or catalogue), with their errors.

    photosphere simulate --new --stars 60000 -o new.parquet
    photosphere fit models/xp-simulated new.parquet -o default.parquet
    photosphere fit models/xp-simulated new.parquet -o published.parquet --config jacobians.toml   # jacobians = true
    python scripts/sample_medians.py models/xp-simulated new.parquet default.parquet published.parquet

    photosphere fit models/photometry-lamost real.parquet -o default.parquet
    python scripts/sample_medians.py models/photometry-lamost real.parquet default.parquet published.parquet

The second argument has the reference: `true_<name>` of simulated stars (single ones with 0.02 < E < 0.04 are taken), or measured labels `<name>` of real ones
(all with a label are taken). A median is judged by its own error, 1.2533 sigma / sqrt(n) with sigma from the MAD, and the model's own
zero-point error ([calibration] in its model.toml, by regions of the labels where it has them) in quadrature; the exit code is 1 where that of the first catalogue is off by more than --limit of them.
Needs numpy, pyarrow and Python 3.11.
"""

import argparse
import sys
import tomllib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

NAMES = ["teff", "feh", "logg", "extinction", "parallax"]
NOT_FITTED = 2048


def columns(path, names):
    present = [name for name in names if name in pq.read_schema(path).names]
    table = pq.read_table(path, columns=present)
    return {name: table[name].to_numpy(zero_copy_only=False) for name in present}


def zero_point_errors(folder, found, good):
    """1-sigma zero-point errors of the mean of the good stars in file units, by parameter; of the parallax, that of its logarithm.

    Stars of a region of the labels share an error; regions do not.
    """
    model = tomllib.loads((Path(folder) / "model.toml").read_text())
    calibration = model.get("calibration")
    names = [parameter["name"] for parameter in model["parameter"]]
    factors = {parameter["name"]: parameter["model_units_per_file_unit"] for parameter in model["parameter"]}
    if calibration is None:
        return dict.fromkeys(names, 0.0)
    left, parts = good.copy(), []
    for region in calibration.get("region", []):
        inside = left.copy()
        for name, (low, high) in region["bounds"].items():
            inside &= (found[name] * factors[name] >= low) & (found[name] * factors[name] < high)
        parts.append((inside.sum(), region["covariance"]))
        left &= ~inside
    parts.append((left.sum(), calibration["covariance"]))
    share = [n / max(good.sum(), 1) for n, _ in parts]
    variance = {name: sum(w * w * of[k][k] for w, (_, of) in zip(share, parts)) for k, name in enumerate(names)}
    return {name: np.sqrt(variance[name]) / factors[name] for name in names}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="model directory")
    parser.add_argument("reference")
    parser.add_argument("catalogue", nargs="+")
    parser.add_argument("--limit", type=float, default=2.0, help="errors by which a median may be off [2]")
    parser.add_argument("--extinction", type=float, nargs=2, default=[0.02, 0.04], help="range of the true E [0.02 0.04]")
    arguments = parser.parse_args()
    wanted = ["source_id", "true_is_binary"] + [prefix + name for prefix in ("", "true_") for name in NAMES]
    reference = columns(arguments.reference, wanted)
    simulated = "true_teff" in reference
    prefix = "true_" if simulated else ""
    chosen = np.ones(len(reference["source_id"]), bool)
    if simulated:
        low, high = arguments.extinction
        chosen = (reference["true_extinction"] > low) & (reference["true_extinction"] < high) & ~reference["true_is_binary"].astype(bool)
    failed = False
    for k, path in enumerate(arguments.catalogue):
        found = columns(path, ["source_id", "quality_flags"] + NAMES + [name + "_error" for name in NAMES])
        assert np.array_equal(found["source_id"], reference["source_id"]), f"{path}: other stars than {arguments.reference}"
        print(f"{path}:")
        for name in [name for name in NAMES if prefix + name in reference]:
            # A measured parallax or reddening of real stars is noisier than the fit, or entered it.
            if not simulated and name in ("parallax", "extinction"):
                continue
            residual = found[name] - np.asarray(reference[prefix + name], float)
            good = chosen & np.isfinite(residual) & (found["quality_flags"] & NOT_FITTED == 0)
            residual = residual[good]
            zero_points = zero_point_errors(arguments.model, found, good)
            median = np.median(residual)
            scatter = 1.4826 * np.median(np.abs(residual - median))
            error = 1.2533 * scatter / np.sqrt(len(residual))
            zero_point = zero_points[name] * (np.median(found["parallax"][good]) if name == "parallax" else 1.0)
            total = np.hypot(error, zero_point)
            pull = np.median(residual / found[name + "_error"][good])
            is_off = abs(median) > arguments.limit * total
            failed |= k == 0 and is_off
            print(f"  {name:11} {len(residual):6d} stars  median {median:+.4g} +- {error:.2g}, model {zero_point:.2g} ({median / total:+.1f} errors)"
                  f"  scatter {scatter:.3g}  median pull {pull:+.3f}{'  OFF' if is_off else ''}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
