"""Fits the noise law of simulated Gaia XP coefficients (src/simulate/xp_noise.rs) to real stars.

    python scripts/fit_xp_noise_law.py ../shared/data > src/simulate/xp_noise_law.rs && cargo fmt

Needs numpy, scipy, pandas, astropy and gaiaxpy 2.1.5 (for the instrument's design matrices, v375wi/v142r).

Errors: the published coefficient errors of 2,000 field stars (xp_field) follow
    e_i(F)^2 = exp(a_i) + exp(b_i) F + exp(c_i) F^2,
background, photon noise and calibration, where F is the band's mean sampled flux (BP 392-632 nm, RP 652-992 nm) in
1e-18 W m^-2 nm^-1 and a_i, b_i, c_i are polynomials in x = 2 i / 54 - 1 (powers 0, 1, ...). The loss is a Huber loss of ln e.
Stars scatter about the law (number of transits, colour): by one normal deviate in ln e for both bands, `transit_scatter`.

Correlations: the mean correlation matrix of the stars that have one (xp_calspec, xp_continuous) as a factor model,
    rho = L L^T + diag(1 - sum_k L_ik^2),  L [55, rank] by principal-axis iteration,
positive-definite by construction.
"""

import ast
import contextlib
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.table import Table
from gaiaxpy.calibrator import calibrator
from scipy.optimize import least_squares

N_COEFFICIENTS, DEGREE, RANK = 55, 5, 2
WAVELENGTHS = np.arange(392.0, 993.0, 10.0)
INDEX = np.linspace(-1.0, 1.0, N_COEFFICIENTS)


def design_matrices():
    """Merged design matrices [W, 55] per band, in 1e-18 W m^-2 nm^-1 per unit of coefficient."""
    with contextlib.redirect_stdout(sys.stderr):  # the reader prints its progress
        matrices, merge = calibrator.__dict__["__generate_xp_matrices_and_merge"]("calibrator", WAVELENGTHS, "v375wi", "v142r")
    return [1e18 * matrices[band].design_matrix.T * merge[band][:, None] for band in matrices]


def error_law(parameters, flux):
    """ln e [N, 55] at band fluxes [N]."""
    a, b, c = (np.polynomial.polynomial.polyval(INDEX, p) for p in parameters.reshape(3, DEGREE + 1))
    flux = flux[:, None]
    return 0.5 * np.log(np.exp(a) + np.exp(b) * flux + np.exp(c) * flux**2)


def fit_errors(errors, flux):
    start = np.zeros((3, DEGREE + 1))
    start[:, 0] = np.log(np.median(errors) ** 2 * np.array([0.5, 0.1, 1e-4]))
    ln_errors = np.log(errors)
    residuals = lambda p: (error_law(p, flux) - ln_errors).ravel()
    return least_squares(residuals, start.ravel(), loss="huber", f_scale=0.15).x


def correlation_matrices(folder, band):
    files = [folder / "xp_calspec/calspec10_xp_continuous.csv", folder / "xp_continuous/XP_CONTINUOUS_RAW.csv"]
    matrices, lower = [], np.tril_indices(N_COEFFICIENTS, -1)
    for text in pd.concat([pd.read_csv(file, comment="#") for file in files])[f"{band}_coefficient_correlations"].dropna():
        matrix = np.zeros((N_COEFFICIENTS, N_COEFFICIENTS))
        matrix[lower] = ast.literal_eval(text)  # strict lower triangle, row by row
        matrices.append(matrix + matrix.T + np.eye(N_COEFFICIENTS))
    return np.array(matrices)


def factor_model(correlation, rank):
    unique = np.zeros(N_COEFFICIENTS)
    for _ in range(500):
        values, vectors = np.linalg.eigh(correlation - np.diag(unique))
        loadings = vectors[:, -rank:] * np.sqrt(np.maximum(values[-rank:], 0.0))
        unique = 1.0 - (loadings**2).sum(1)
    return loadings[:, ::-1]


def with_unit_diagonal(loadings):
    product = loadings @ loadings.T
    return product + np.diag(1.0 - np.diag(product))


def rust_array(values, decimals):
    return "[" + ", ".join(f"{value:.{decimals}f}" for value in values) + "]"


def main(folder):
    field = Table.read(folder / "xp_field/field2000_xp_coeff_err.fits.gz")
    stack = lambda prefix: np.array([field[f"{prefix}_{i}"] for i in range(N_COEFFICIENTS)], float).T
    design = design_matrices()
    sampled = sum(stack(f"{band}_coeff") @ matrix.T for band, matrix in zip(("bp", "rp"), design))
    fluxes = (sampled[:, :25].mean(1), sampled[:, 26:].mean(1))
    use = (np.minimum(*fluxes) > 0.5) & (np.maximum(*fluxes) < 2000.0)
    print("//! The numbers of the XP noise law, made by `scripts/fit_xp_noise_law.py` (formulae and data there).\n")
    print("use super::xp_noise::BandLaw;")
    mean_residuals = []
    for band, flux, matrix in zip(("bp", "rp"), fluxes, design):
        errors = stack(f"e_{band}_coeff")[use]
        parameters = fit_errors(errors, flux[use])
        law = error_law(parameters, flux[use])
        mean_residuals.append((np.log(errors) - law).mean(1))
        real = correlation_matrices(folder, band).mean(0)
        loadings = np.round(factor_model(real, RANK), 2) + 0.0
        print(f"\n/// Noise law of {band.upper()} coefficients.")
        print(f"pub(super) const {band.upper()}: BandLaw = BandLaw {{")
        for name, row in zip(("background", "photon", "calibration"), parameters.reshape(3, -1)):
            print(f"    {name}: {rust_array(row, 3)},")
        print(f"    loadings: [{', '.join(rust_array(column, 2) for column in loadings.T)}],\n}};")
        report(band, matrix, flux[use], errors, law, real, loadings)
    residual = np.array(mean_residuals)
    scatter = 1.4826 * np.median(np.abs(residual - np.median(residual, 1, keepdims=True)), 1)
    print("\n/// Standard deviation between stars of ln(coefficient error) about the law, common to both bands.")
    print(f"pub(super) const TRANSIT_SCATTER: f64 = {scatter.mean():.3f};")
    print(f"scatter {scatter}, correlation of bands {np.corrcoef(residual)[0, 1]:.2f}", file=sys.stderr)


def report(band, design, flux, errors, law, real_correlation, loadings):
    """On stderr, by flux: ratios law / real of the median coefficient errors and of pixel errors, min 16% 50% 84% max."""
    design = design[np.abs(design).max(1) > 0]
    for low, high in ((0.5, 1), (1, 3), (3, 10), (10, 30), (30, 100), (100, 300), (300, 2000)):
        select = (flux > low) & (flux <= high)
        e, l = np.median(errors[select], 0), np.median(np.exp(law[select]), 0)
        pixel = lambda scale, rho: np.sqrt(np.einsum("wi,ij,wj->w", design * scale, rho, design * scale))
        ratio = pixel(l, with_unit_diagonal(loadings)) / pixel(e, real_correlation)
        percentiles = lambda values: np.percentile(values, [0, 16, 50, 84, 100]).round(2)
        print(band, (low, high), select.sum(), "coefficients", percentiles(l / e), "pixels", percentiles(ratio), file=sys.stderr)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
