"""Posteriors by weighted draws against long Markov chains of another program.

    python scripts/posterior_reference.py MODEL STARS.parquet FOLDER [--program photosphere] [--stars 30] [--draws 1000] [--steps 3000]

Needs numpy and pyarrow. Of STARS (scripts/stars_of_prior.py), ten each are taken that have a second optimum of some weight, the poorest parallaxes, and the least
extinction over its error. The chains are those of scripts/forward_model.py in double precision: differential evolution (ter Braak 2006) in
straightened coordinates, 100 chains from all optima, whose jumps lead from one optimum to another; the first third is left out. Printed are the largest difference of means in the chains' standard
deviations, the largest difference of widths, and R-hat of the chains. Errors of the chains themselves are about 0.02 in both where R-hat is 1.0.
"""

import argparse
import subprocess
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from forward_model import Model, Star, triangle
from train_seeds import column, vectors

CHAINS = 100


class Sheared:
    """The posterior in (labels, E - E(labels), ln parallax - ln parallax(labels)), whose last two are zero where ln flux is fitted best: straight where the
    posterior in the parameters themselves is a bent needle. The Jacobian is 1."""

    def __init__(self, star, best):
        self.star, self.n = star, len(star.model.labels)
        values = best.copy()
        values[-1] = np.exp(values[-1])
        self.ln_best = star.model.ln_flux(values)
        flux = np.exp(self.ln_best)[star.use]
        design = np.column_stack([-flux * star.model.curve[star.use], 2 * flux])
        self.solve = np.linalg.pinv(star.whitening @ design) @ (star.whitening * flux)

    def shift(self, labels):
        bare = np.column_stack([labels, np.zeros(len(labels)), np.ones(len(labels))])
        away = (self.ln_best - self.star.model.ln_flux(bare))[:, self.star.use]
        return away @ self.solve.T

    def parameters(self, points):
        points = points.copy()
        points[:, self.n :] += self.shift(points[:, : self.n])
        return points

    def coordinates(self, parameters):
        points = parameters.copy()
        points[:, self.n :] -= self.shift(points[:, : self.n])
        return points

    def ln_posterior(self, points):
        return self.star.ln_posterior(self.parameters(points))


def chains(target, starts, steps, random):
    """Parameters `[steps, chains, P]` after the burn-in."""
    points = target.coordinates(starts)
    ln = target.ln_posterior(points)
    kept = []
    dimension = points.shape[1]
    for step in range(steps):
        a, b = (random.integers(0, CHAINS - 1, CHAINS) for _ in range(2))
        own = np.arange(CHAINS)
        a, b = a + (a >= own), b + (b >= own)
        size = np.where(step % 5 == 4, 1.0, 2.38 / np.sqrt(2 * dimension) * random.choice([1.0, 0.3], CHAINS))
        trial = points + size[:, None] * (points[a] - points[b]) + 1e-6 * random.standard_normal(points.shape)
        trial_ln = target.ln_posterior(trial)
        accepted = np.log(random.random(CHAINS)) < trial_ln - ln
        points[accepted], ln[accepted] = trial[accepted], trial_ln[accepted]
        if step >= steps // 3:
            kept.append(target.parameters(points))
    return np.array(kept)


def r_hat(kept):
    n = len(kept)
    within = kept.var(0, ddof=1).mean(0)
    between = kept.mean(0).var(0, ddof=1)
    return np.sqrt((n - 1) / n + between / within).max()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("stars")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--program", default="photosphere")
    parser.add_argument("--stars", dest="n", type=int, default=30)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=3000)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    options, catalogue = arguments.folder / "options.toml", arguments.folder / "catalogue.parquet"
    options.write_text(f"model_error = false\n[posterior]\ndraws = {arguments.draws}\n", encoding="utf-8")
    words = ["fit", arguments.model, arguments.stars, "-o", str(catalogue), "--config", str(options), "--posterior", "importance"]
    subprocess.run([arguments.program, *words, "--overwrite", "--quiet"], check=True)
    model, stars, fitted = Model(arguments.model), pq.read_table(arguments.stars), pq.read_table(catalogue)
    names = model.names
    weight, third = column(fitted, "second_weight"), max(1, arguments.n // 3)
    signal = column(stars, "parallax") / column(stars, "parallax_error")
    dust = column(fitted, "extinction") / column(fitted, "extinction_error")
    ambiguous = np.argsort(np.where(np.isfinite(weight), np.abs(weight - 0.5), 9))[:third]
    chosen = list(dict.fromkeys([*ambiguous, *np.argsort(signal)[:third], *np.argsort(dust)[:third]]))
    flux, error, correlated = vectors(stars, "flux"), vectors(stars, "flux_error"), vectors(stars, "xp_covariance_triu")
    b = int(round((np.sqrt(8 * correlated.shape[1] + 1) - 1) / 2))
    random = np.random.default_rng(1)
    means = np.stack([column(fitted, f"{name}_mean") for name in names], 1)
    widths = np.sqrt(np.array([np.diag(triangle(row, len(names))) for row in vectors(fitted, "posterior_covariance_triu")]))
    fisher = np.stack([column(fitted, f"{name}_error") for name in names], 1)
    good = 0
    for i in chosen:
        measured = column(stars, "parallax")[i], column(stars, "parallax_error")[i]
        star = Star(model, flux[i], error[i], triangle(correlated[i], b), measured)
        optima = [np.array([column(fitted, f"{prefix}{name}")[i] for name in names]) * model.units for prefix in ("", "second_")]
        optima = [optimum for optimum in optima if np.isfinite(optimum).all()]
        logarithmic = [np.append(optimum[:-1], np.log(optimum[-1])) for optimum in optima]
        target = Sheared(star, logarithmic[0])
        starts = np.array([logarithmic[k % len(optima)] for k in range(CHAINS)])
        # Labels apart, with the dust and the distance that go with them.
        sheared = target.coordinates(starts)
        sheared[:, :-2] += 0.5 * random.standard_normal((CHAINS, len(names) - 2)) * np.minimum(fisher[i] * model.units, 0.3)[:-2]
        starts = target.parameters(sheared)
        starts[:, -2] = np.abs(starts[:, -2])
        kept = chains(target, starts, arguments.steps, random)
        values = kept.copy()
        values[..., -1] = np.exp(values[..., -1])
        values = values.reshape(-1, len(names)) / model.units
        mean, width = values.mean(0), values.std(0)
        of_means = (means[i] - mean) / width
        of_widths = widths[i] / width - 1
        size, tail = column(fitted, "posterior_ess")[i], column(fitted, "posterior_tail_shape")[i]
        agrees = np.abs(of_means).max() < 0.1 and np.abs(of_widths).max() < 0.05
        good += agrees
        print(
            f"star {i:6d}: modes {len(optima)}, weight {weight[i]:.2f}, parallax {signal[i]:6.1f} sigma, E {dust[i]:5.1f} sigma, ESS {size:5.0f}, "
            f"k {tail:5.2f}, R-hat {r_hat(kept):.3f}: means {np.abs(of_means).max():.3f}, widths {np.abs(of_widths).max():.3f}; "
            f"Fisher means {np.abs((optima[0] / model.units - mean) / width).max():.2f}, widths {np.abs(fisher[i] / width - 1).max():.2f}",
            flush=True,
        )
    print(f"{good} of {len(chosen)} agree within 0.1 sigma and 5 %")


if __name__ == "__main__":
    main()
