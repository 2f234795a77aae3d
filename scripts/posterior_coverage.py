"""Do posteriors by weighted draws hold the truth as often as they say?

    python scripts/posterior_coverage.py MODEL STARS.parquet FOLDER [--program photosphere] [--draws 128]

Needs numpy and pyarrow. STARS are draws of the very prior (scripts/stars_of_prior.py). Fits them with `--posterior importance`, without the model's own
errors, and says, for dwarfs and giants apart (by the fitted log g, as far as an observer can tell, and by the true one): the share of
truths inside of the 68 and 95 % intervals of each parameter, and inside of the joint regions (−2 ln P at the truth, by scripts/forward_model.py, against
joint_delta_loss); the same of the Gaussians of the Fisher covariance; whether the truths are spread over the six intervals between the quantiles as they should
(chi-square of simulation-based calibration, p of 5 degrees of freedom); effective sizes, flags and processor time. Stars at the ends of the prior's ranges of E and parallax, by
their estimates, are left out.
"""

import argparse
import json
import math
import subprocess
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from forward_model import Model, Star, triangle
from train_seeds import GIANT, column, vectors

CHI_SQUARE_5 = {0.68: 5.861, 0.95: 11.070}


def chi_square_tail_5(x):
    """P(chi-square with 5 degrees of freedom > x), in closed form."""
    return math.erfc(math.sqrt(x / 2)) + math.sqrt(2 * x / math.pi) * math.exp(-x / 2) * (1 + x / 3)


def spread(quantiles, truth):
    """p of the counts of truths between the quantiles."""
    counts = np.bincount((quantiles < truth[:, None]).sum(1), minlength=6)
    expected = len(truth) * np.diff([0, 0.025, 0.16, 0.5, 0.84, 0.975, 1])
    return chi_square_tail_5(((counts - expected) ** 2 / expected).sum())


def share(hits):
    return f"{np.mean(hits):.3f} ± {np.std(hits) / np.sqrt(len(hits)):.3f}" if len(hits) else "none"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("stars")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--program", default="photosphere")
    parser.add_argument("--draws", type=int, default=128)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    options, catalogue = arguments.folder / "options.toml", arguments.folder / "catalogue.parquet"
    options.write_text(f"model_error = false\n[posterior]\ndraws = {arguments.draws}\n", encoding="utf-8")
    words = ["fit", arguments.model, arguments.stars, "-o", str(catalogue), "--config", str(options), "--posterior", "importance"]
    words += ["--keep-truth", "--overwrite", "--quiet", "--json", "--threads", "1"]
    summary = json.loads(subprocess.run([arguments.program, *words], check=True, capture_output=True, text=True).stdout)
    model, stars, fitted = Model(arguments.model), pq.read_table(arguments.stars), pq.read_table(catalogue)
    n, names = fitted.num_rows, model.names
    time = summary["processor_seconds"]
    print(f"{n} stars, {1e6 * time['posterior'] / n:.0f} us of processor time a star for posteriors, {1e6 * sum(time.values()) / n:.0f} for all")
    truth = np.stack([column(fitted, f"true_{name}") for name in names], 1)
    values = np.stack([column(fitted, name) for name in names], 1)
    covariances = np.array([triangle(row, len(names)) for row in vectors(fitted, "covariance_triu")])
    quantiles = np.stack([vectors(fitted, f"{name}_quantiles") for name in names], 1)
    regions, size = vectors(fitted, "joint_delta_loss"), column(fitted, "posterior_ess")
    flags = column(fitted, "quality_flags").astype(int)
    flux, error = vectors(stars, "flux"), vectors(stars, "flux_error")
    correlated, parallax = vectors(stars, "xp_covariance_triu"), column(stars, "parallax")
    parallax_error = column(stars, "parallax_error")
    b = int(round((np.sqrt(8 * correlated.shape[1] + 1) - 1) / 2))
    delta = np.empty(n)
    for i in range(n):
        star = Star(model, flux[i], error[i], triangle(correlated[i], b), (parallax[i], parallax_error[i]))
        points = np.stack([truth[i], values[i]]) * model.units
        points[:, -1] = np.log(points[:, -1])
        at_truth, at_best = star.ln_posterior(points) - points[:, -1]
        delta[i] = -2 * (at_truth - at_best)
    away = values - truth
    fisher = np.einsum("ni,nij,nj->n", away, np.linalg.pinv(covariances, hermitian=True), away)
    errors = np.sqrt(np.einsum("nii->ni", covariances))
    largest = truth[:, -1].max()
    usable = (values[:, -2] < 1.7) & (values[:, -1] < 0.75 * largest) & np.isfinite(size)
    print(f"effective size: percentiles 1, 5, 50: {np.percentile(size[usable], [1, 5, 50]).round(0)}; flagged {np.mean(flags[usable] >> 17 & 1):.4f}")
    for what, logg in (("fitted", values[:, 2]), ("true", truth[:, 2])):
        for group, members in (("dwarfs", usable & (logg >= GIANT)), ("giants", usable & (logg < GIANT))):
            print(f"{group} by {what} log g: {members.sum()}")
            for p, name in enumerate(names):
                q, t = quantiles[members, p], truth[members, p]
                inner = share((q[:, 1] <= t) & (t <= q[:, 3]))
                outer = share((q[:, 0] <= t) & (t <= q[:, 4]))
                gauss = [np.mean(np.abs(away[members, p]) <= k * errors[members, p]) for k in (1, 1.96)]
                print(f"  {name:10s} 68 % {inner}, 95 % {outer}; p {spread(q, t):.3f}; Fisher {gauss[0]:.3f}, {gauss[1]:.3f}")
            for k, level in enumerate((0.68, 0.95)):
                gauss = np.mean(fisher[members] <= CHI_SQUARE_5[level])
                print(f"  joint {level:.2f} {share(delta[members] <= regions[members, k])}; Fisher {gauss:.3f}")


if __name__ == "__main__":
    main()
