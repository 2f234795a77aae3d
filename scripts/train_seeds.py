"""Trains a recipe with many seeds on surveys of known truth and says how well each model does.

    python scripts/train_seeds.py --recipe xp --survey NAME,TRAINING.parquet,NEW.parquet [--survey ...] \
        --seeds 1-20 --jobs 2 --output FOLDER [--program photosphere] [--seconds 3600]

Needs numpy and pyarrow. NEW holds other stars than TRAINING; both have the truth in true_* columns, as `photosphere simulate`
writes them. Every training is one line of FOLDER/results.jsonl and one log; models and catalogues are removed afterwards unless
--keep is given. Trainings that would begin after --seconds are left out; `--summary FOLDER` prints the table again.

What is measured, on new single stars fitted by likelihood alone (flux and parallax), dwarfs and giants (true log g < 3.5) apart:
pulls (estimate - truth)/error, their MAD scatter and the share within 1.96; the median of ln(parallax/truth) for log g < 1.5; the
learned R(lambda) against the truth, which is the metadata `true_extinction_curve` or else the slope of ln flux with the true E, from
a polynomial in the true labels fitted to all single stars.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

GIANT, LUMINOUS, INFRARED = 3.5, 1.5, 900.0
PARAMETERS = ["teff", "feh", "logg", "extinction", "parallax"]


def column(table, name):
    return table[name].to_numpy(zero_copy_only=False).astype(float)


def vectors(table, name):
    values = table[name].combine_chunks()
    return np.asarray(values.flatten().to_numpy(zero_copy_only=False), dtype=float).reshape(len(values), -1)


def metadata(table, key):
    text = (table.schema.metadata or {}).get(key.encode())
    return None if text is None else json.loads(text)


def polynomial(columns, degree):
    """All monomials up to `degree` of standardised columns."""
    columns = [(c - np.median(c)) / np.std(c) for c in columns]
    terms = [np.ones_like(columns[0])]
    for order in range(1, degree + 1):
        terms += [np.prod(chosen, axis=0) for chosen in combinations_with_replacement(columns, order)]
    return np.stack(terms, axis=1)


def solve(design, y, weight):
    """Weighted least squares by normal equations with unit diagonal."""
    weighted = design * weight[:, None]
    matrix = weighted.T @ weighted
    scale = np.sqrt(np.diag(matrix))
    matrix = matrix / np.outer(scale, scale) + 1e-10 * np.eye(len(scale))
    return np.linalg.solve(matrix, weighted.T @ (y * weight) / scale) / scale


def true_curve(table, from_stars=False):
    """R(lambda): from the metadata, or the slope of ln flux with the true E at given true labels and parallax."""
    known = metadata(table, "true_extinction_curve")
    if known is not None and not from_stars:
        return np.array(known)
    single = column(table, "true_is_binary") == 0
    labels = [name for name in ("teff", "feh", "logg", "alpha_fe") if f"true_{name}" in table.column_names]
    truth = [column(table, f"true_{name}") for name in labels]
    truth[0] = 5040.0 / truth[0]
    design = np.column_stack([polynomial(truth, 6), column(table, "true_extinction")])
    flux, error = vectors(table, "flux"), vectors(table, "flux_error")
    curve = np.full(flux.shape[1], np.nan)
    for w in range(flux.shape[1]):
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = flux[:, w] / error[:, w]
            y = np.log(flux[:, w]) - 2.0 * np.log(column(table, "true_parallax"))
        use = single & np.isfinite(y) & (ratio > 10.0)
        weight = np.minimum(ratio[use], 50.0)
        solution = solve(design[use], y[use], weight)
        # once more without what stands out
        residual = (y[use] - design[use] @ solution) * weight
        good = np.abs(residual) < 4.0 * 1.4826 * np.median(np.abs(residual))
        solution = solve(design[use][good], y[use][good], weight[good])
        curve[w] = -solution[-1]
    return curve


def learned_curve(model):
    data = (model / "weights.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    entry = json.loads(data[8 : 8 + length])["extinction.ln_curve"]
    first, last = entry["data_offsets"]
    return np.exp(np.frombuffer(data[8 + length + first : 8 + length + last], dtype="<f4").astype(float))


def evaluate(model, catalogue, survey):
    """What a model is worth on new stars of known truth."""
    table = pq.read_table(catalogue)
    single = column(table, "true_is_binary") == 0
    gravity = column(table, "true_logg")
    results = {"n_single": int(single.sum())}
    for group, members in (("dwarfs", single & (gravity >= GIANT)), ("giants", single & (gravity < GIANT))):
        for name in PARAMETERS:
            pull = (column(table, name) - column(table, f"true_{name}")) / column(table, f"{name}_error")
            pull = pull[members]
            finite = np.isfinite(pull)
            fitted = pull[finite]
            results[f"{group}.{name}"] = {
                "median": round(float(np.median(fitted)), 4),
                "mad_sigma": round(float(1.4826 * np.median(np.abs(fitted - np.median(fitted)))), 4),
                "coverage": round(float(np.mean(np.abs(fitted) < 1.96)), 4),
                "unfitted": int((~finite).sum()),
            }
    luminous = single & (gravity < LUMINOUS)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.log(column(table, "parallax") / column(table, "true_parallax"))[luminous]
    ratio = ratio[np.isfinite(ratio)]
    results["luminous"] = {"n": len(ratio), "ln_parallax": round(float(np.median(ratio)), 4) if len(ratio) else None}
    curve = learned_curve(model) / survey["curve"] - 1.0
    for part, members in (("optical", survey["nm"] <= INFRARED), ("infrared", survey["nm"] > INFRARED)):
        worst = np.nanmax(np.abs(curve[members])) if members.any() else np.nan
        results[f"curve.{part}"] = {
            "largest": round(float(worst), 4),
            "rms": round(float(np.sqrt(np.nanmean(curve[members] ** 2))), 4),
        }
    results["curve"] = [round(float(value), 4) for value in curve]
    return results


def run_one(task, arguments, surveys):
    """Trains, fits and evaluates; the result is a dictionary whatever happens."""
    name, seed = task
    survey = surveys[name]
    folder = arguments.output / f"{name}_{seed}" if arguments.keep else Path(tempfile.mkdtemp(prefix="train_seeds_"))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model, catalogue = folder / "model", folder / "catalogue.parquet"
    common = ["--threads", str(arguments.threads), "--json", "--quiet"]
    result = {"survey": name, "seed": seed}

    def program(*words):
        command = [arguments.program, *map(str, words), *common]
        done = subprocess.run(command, capture_output=True, text=True, timeout=arguments.each)
        with open(arguments.output / f"{name}_{seed}.log", "a", encoding="utf-8") as log:
            log.write(f"{' '.join(map(str, words))}\n{done.stderr}\n")
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip()[-500:])
        return json.loads(done.stdout)

    try:
        begun = time.time()
        trained = program("train", arguments.recipe, survey["training"], "-o", model, "--seed", seed)
        result["seconds"] = round(time.time() - begun, 1)
        report = trained.get("report") or {}
        result["validation_loss"] = trained["metrics"]["validation_loss_per_flux"]
        result["warnings"] = report.get("warnings", [])
        result["removed"] = report.get("n_removed", 0) / max(report.get("n_stars", 1), 1)
        history = json.loads((model / "training.json").read_text(encoding="utf-8"))
        result["stages"] = [[s["stage"], round(s["loss"], 4), s["returns"]] for s in history.get("stages", [])]
        result["zero_points"], result["drifts"] = report.get("zero_points"), report.get("drifts")
        program("fit", model, survey["new"], "-o", catalogue, "--likelihood-only", "--keep-truth")
        result.update(evaluate(model, catalogue, survey))
    except (RuntimeError, subprocess.TimeoutExpired, OSError, KeyError, ValueError) as error:
        result["error"] = f"{type(error).__name__}: {error}"
    if not arguments.keep:
        shutil.rmtree(folder, ignore_errors=True)
    return result


def summary(results):
    """A table of all trainings and, below, the acceptance."""
    print("survey seed seconds loss removed warnings | worst MAD-sigma, coverage (dwarfs; giants) | ln plx (log g < 1.5) | R optical, infrared")
    by_survey = {}
    for r in sorted(results, key=lambda r: (r["survey"], r["seed"])):
        if "error" in r:
            print(r["survey"], r["seed"], "FAILED", r["error"][:120])
            continue
        by_survey.setdefault(r["survey"], []).append(r)
        parts = []
        for group in ("dwarfs", "giants"):
            pulls = [r[f"{group}.{name}"] for name in PARAMETERS]
            widths = [p["mad_sigma"] for p in pulls]
            parts.append(f"{min(widths):.2f}-{max(widths):.2f} {min(p['coverage'] for p in pulls):.3f}")
        luminous = r["luminous"]["ln_parallax"]
        print(
            f"{r['survey']} {r['seed']:3d} {r['seconds']:6.1f} {r['validation_loss']:.4f} {100 * r['removed']:.1f}% {len(r['warnings'])} | "
            f"{'; '.join(parts)} | {luminous if luminous is None else format(luminous, '+.3f')} | "
            f"{100 * r['curve.optical']['largest']:.2f}% {100 * r['curve.infrared']['largest']:.2f}%"
        )
    for name, rows in by_survey.items():
        best = min(r["validation_loss"] for r in rows)
        within = sum(r["validation_loss"] <= 1.01 * best for r in rows)
        warned = sum(r["validation_loss"] > 1.01 * best and bool(r["warnings"]) for r in rows)
        print(f"{name}: {len(rows)} trainings, best loss {best:.4f}; within 1 %: {within}, beyond but warned: {warned}")
        for group in ("dwarfs", "giants"):
            for parameter in PARAMETERS:
                pulls = [r[f"{group}.{parameter}"] for r in rows]
                row = [[p[key] for p in pulls] for key in ("median", "mad_sigma", "coverage")]
                print(f"  {group} {parameter:10s} " + "  ".join(f"{np.mean(v):+.3f} [{min(v):+.3f}, {max(v):+.3f}]" for v in row))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--survey", action="append", default=[], metavar="NAME,TRAINING,NEW")
    parser.add_argument("--recipe", default="xp")
    parser.add_argument("--program", default="photosphere")
    parser.add_argument("--seeds", default="1-20")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=np.inf, help="begin no training after so many")
    parser.add_argument("--each", type=float, default=3600.0, help="limit of one command")
    parser.add_argument("--output", type=Path, default=Path("train_seeds"))
    parser.add_argument("--keep", action="store_true", help="keep models and catalogues")
    parser.add_argument("--summary", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    if arguments.summary:
        lines = (arguments.summary / "results.jsonl").read_text(encoding="utf-8").splitlines()
        return summary([json.loads(line) for line in lines])
    begun = time.time()
    arguments.output.mkdir(parents=True, exist_ok=True)
    surveys = {}
    for text in arguments.survey:
        name, training, new = text.split(",")
        table = pq.read_table(new)
        surveys[name] = {"training": training, "new": new, "curve": true_curve(table), "nm": np.array(metadata(table, "wavelengths"))}
    first, _, last = arguments.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    tasks = [(name, seed) for seed in seeds for name in surveys]
    results, lock = [], threading.Lock()

    def work():
        while True:
            with lock:
                if not tasks or time.time() - begun > arguments.seconds:
                    return
                task = tasks.pop(0)
            result = run_one(task, arguments, surveys)
            with lock:
                results.append(result)
                with open(arguments.output / "results.jsonl", "a", encoding="utf-8") as file:
                    file.write(json.dumps(result) + "\n")
                print(f"{result['survey']} {result['seed']}: {result.get('error', result.get('validation_loss'))}", file=sys.stderr)

    workers = [threading.Thread(target=work) for _ in range(arguments.jobs)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return summary(results)


if __name__ == "__main__":
    main()
