"""A training with an extinction curve that varies from star to star (ξ), against one without, on simulated surveys.

    python scripts/varying_curve.py FOLDER [--seeds 1 2 3] [--stars 20000] [--new 8000] [--program photosphere]

Needs numpy and pyarrow. For every seed: a survey with R_V scattered by 0.3, the recipe `xp` with `variation = true` and
`shape_scatter = 0.3` and as it is, and both models' fits of new stars by likelihood alone (no label, no reddening). Single stars behind
E > 0.3 are compared. ln R is no linear function of R_V, so ξ is also held against the place of a star's own curve in
the family: ln R(850 nm) − ln R(450 nm) of Cardelli, Clayton & Mathis (1989), standardised.
"""

import argparse
import subprocess
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from train_seeds import PARAMETERS, column

R_V, SCATTER, SHAPE_SCATTER = 3.1, 0.3, 0.3
BASIC_CUT = 8
CLASSES = [(0.3, 0.5), (0.5, 1.0), (1.0, np.inf), (0.3, np.inf)]
# Cardelli, Clayton & Mathis (1989), eqs. 3a and 3b.
A = [1, 0.17699, -0.50447, -0.02427, 0.72085, 0.01979, -0.77530, 0.32999]
B = [0, 1.41338, 2.28305, 1.07233, -5.38434, -0.62251, 5.30260, -2.09002]


def colour_of_curve(xi):
    def ln_r(nm):
        y = 1e3 / nm - 1.82
        return np.log(np.polyval(A[::-1], y) * (R_V + SCATTER * xi) + np.polyval(B[::-1], y))

    return ln_r(850.0) - ln_r(450.0)


def standardised(xi):
    all_stars = colour_of_curve(np.random.default_rng(1).standard_normal(200_000).clip(-3, 3))
    return (colour_of_curve(xi) - all_stars.mean()) / all_stars.std()


def scatter(pull):
    return 1.4826 * np.median(np.abs(pull - np.median(pull)))


def describe_xi(fitted):
    reddening, truth = column(fitted, "true_extinction"), column(fitted, "true_xi")
    xi, error = column(fitted, "xi") / SHAPE_SCATTER, column(fitted, "xi_error") / SHAPE_SCATTER
    rows = []
    for low, high in CLASSES:
        some = is_good(fitted) & (reddening > low) & (reddening < high)
        place = standardised(truth[some])
        pull = (xi[some] - place) / error[some]
        rows.append(
            [
                some.sum(),
                np.corrcoef(xi[some], truth[some])[0, 1],
                np.polyfit(truth[some], xi[some], 1)[0],
                np.median(error[some]),
                np.median(pull),
                scatter(pull),
                np.mean(np.abs(pull) < 1.0),
                np.mean(np.abs(pull) < 1.96),
            ]
        )
    return np.array(rows)


def is_good(fitted):
    return (column(fitted, "quality_flags") < BASIC_CUT) & (column(fitted, "true_is_binary") == 0)


def trends(fitted, members):
    """Slope of the pull over ξ and MAD-σ of the pulls, by parameter; median χ²/n_dof of stars with |ξ| > 1."""
    truth = column(fitted, "true_xi")
    rows = []
    for name in PARAMETERS:
        pull = (column(fitted, name) - column(fitted, f"true_{name}")) / column(fitted, f"{name}_error")
        usual = members & (np.abs(pull) < 20)
        rows.append([np.polyfit(truth[usual], pull[usual], 1)[0], scatter(pull[usual])])
    far = members & (np.abs(truth) > 1)
    return np.array(rows), np.median((column(fitted, "chi2") / column(fitted, "n_dof"))[far])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--stars", type=int, default=20_000)
    parser.add_argument("--new", type=int, default=8000)
    parser.add_argument("--program", default="photosphere")
    arguments = parser.parse_args()
    folder = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)

    def program(*words, quiet=True):
        flags = ["--overwrite", "--quiet"] if quiet else []
        return subprocess.run([arguments.program, *map(str, words), *flags], check=True, capture_output=True, text=True).stdout

    constant = program("recipe", "xp", quiet=False)
    line = 'kind = "extinction"\n'
    varying = constant.replace(line, f"{line}variation = true\nshape_scatter = {SHAPE_SCATTER}\n", 1)
    found = []
    for seed in arguments.seeds:
        surveys = {"overlap": (arguments.stars, seed), "new": (arguments.new, 100 + seed)}
        for name, (n_stars, of) in surveys.items():
            (folder / f"{name}.toml").write_text(f"n_stars = {n_stars}\nseed = {of}\nr_v_scatter = {SCATTER}\n", encoding="utf-8")
            program("simulate", "--config", folder / f"{name}.toml", "-o", folder / f"{name}.parquet")
        catalogues = []
        for name, recipe in (("varying", varying), ("constant", constant)):
            (folder / f"{name}.toml").write_text(recipe, encoding="utf-8")
            model, catalogue = folder / f"model_{name}_{seed}", folder / f"{name}_{seed}.parquet"
            program("train", folder / f"{name}.toml", folder / "overlap.parquet", "-o", model)
            program("fit", model, folder / "new.parquet", "-o", catalogue, "--likelihood-only", "--keep-truth")
            catalogues.append(pq.read_table(catalogue))
        dusty = [is_good(one) & (column(one, "true_extinction") > 0.3) for one in catalogues]
        both = dusty[0] & dusty[1]
        found.append((describe_xi(catalogues[0]), *(trends(one, both) for one in catalogues), [d.sum() for d in dusty] + [both.sum()]))
        print(f"seed {seed}: {dusty[0].sum()} stars in the cut with ξ, {dusty[1].sum()} without, {both.sum()} in both", flush=True)

    means = np.mean([one[0] for one in found], axis=0)
    spread = np.std([one[0] for one in found], axis=0)
    print("| E | stars | r | slope | error of ξ/σ | median pull | MAD-σ | within 1 | within 1.96 |\n|---|---|---|---|---|---|---|---|---|")
    for (low, high), mean, sigma in zip(CLASSES, means, spread):
        cells = [f"{m:.0f}" if i == 0 else f"{m:.3f} ± {s:.3f}" for i, (m, s) in enumerate(zip(mean, sigma))]
        print(f"| {low}–{high} | " + " | ".join(cells) + " |")
    print("| same stars, E > 0.3 | pull per unit of ξ, with | without | MAD-σ, with | without |\n|---|---|---|---|---|")
    tables = [[one[k][0] for one in found] for k in (1, 2)]
    for i, name in enumerate(PARAMETERS):
        cells = [f"{np.mean([t[i][c] for t in table]):+.2f} ± {np.std([t[i][c] for t in table]):.2f}" for c in (0, 1) for table in tables]
        print(f"| {name} | " + " | ".join(cells) + " |")
    print("χ²/n_dof of |ξ| > 1, median:", *(f"{np.mean([one[k][1] for one in found]):.2f}" for k in (1, 2)), "(with, without)")


if __name__ == "__main__":
    main()
