"""Builds the fuzz targets of the readers without the tensor library, which takes a third of the time, and runs them in turn.

    python3 fuzz/light.py FOLDER [--seconds 150] [--targets parquet,fits] [--jobs 1] [--level 19]

FOLDER (outside of the project, about 1 GB) gets a copy of the rooms that the readers stand on, the targets, what the fuzzer found and
a line for every target in `summary`. The recipes of trainings are not among what is read. Linux on x86_64, a C++ compiler.
"""

import argparse
import os
import re
import shutil
import subprocess
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
ROOMS = "error noise observations prefetch quantity spectrum statistics survey table text unit warning".split()
TENSOR = ["lanes", "quads", "functions", "cholesky"]
NOT_NEEDED = "burn argmin clap indicatif tracing-subscriber plotters resvg cubecl forust linfa nuts kdtree".split()
TARGET = "x86_64-unknown-linux-gnu"
FLAGS = [
    "-Cpasses=sancov-module",
    *(f"-Cllvm-args=-sanitizer-coverage-{what}" for what in ["level=4", "inline-8bit-counters", "pc-table", "trace-compares"]),
    "--cfg fuzzing",
    "-Cdebug-assertions",
    "-Coverflow-checks",
    "-Copt-level=2",
]


def copy(folder):
    """The light crate and its targets; what was built there before is kept."""
    light, fuzz = folder / "photosphere", folder / "fuzz"
    for old in [light / "src", fuzz / "fuzz_targets", fuzz / "src", fuzz / "corpus", fuzz / "dictionaries"]:
        shutil.rmtree(old, ignore_errors=True)
    shutil.copytree(PROJECT / "src", light / "src")
    (light / "src" / "main.rs").unlink()
    shutil.copytree(PROJECT / "models" / "recipes", light / "models" / "recipes", dirs_exist_ok=True)
    shutil.copytree(PROJECT / "fuzz", fuzz, dirs_exist_ok=True)
    shutil.copy(PROJECT / "Cargo.lock", light)
    dependencies = re.search(r"^\[dependencies\]\n(.*?)^\[", (PROJECT / "Cargo.toml").read_text(), re.S | re.M).group(1)
    lines = [line for line in dependencies.splitlines() if line.strip() and not line.startswith(tuple(NOT_NEEDED))]
    features = "".join(f"{name} = []\n" for name in ["cli", "report", "cuda"]) + 'hdf5 = ["dep:hdf5-pure"]\n'
    head = f'[package]\nname = "photosphere"\nversion = "0.0.0"\nedition = "2024"\n[features]\n{features}[dependencies]\n'
    (light / "Cargo.toml").write_text(head + "\n".join(lines) + "\n[workspace]\n")
    tensor = "".join(f"pub mod {name};" for name in TENSOR)
    rooms = "".join(f"pub mod {name};\n" for name in ROOMS)
    (light / "src" / "lib.rs").write_text(f"#![allow(dead_code)]\n{rooms}pub mod tensor {{ {tensor} }}\n")
    manifest = (fuzz / "Cargo.toml").read_text()
    (fuzz / "Cargo.toml").write_text(manifest.replace('path = ".."', 'path = "../photosphere"'))
    shared = fuzz / "src" / "lib.rs"
    shared.write_text("".join(line for line in shared.read_text().splitlines(True) if "photosphere::train" not in line))


def run(folder, target, seconds, level):
    work = folder / "work" / target
    work.mkdir(parents=True, exist_ok=True)
    for seed in (folder / "fuzz" / "corpus" / target).iterdir():
        shutil.copy(seed, work)
    program = folder / "fuzz" / "target" / TARGET / "release" / target
    options = [f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=3000", "-malloc_limit_mb=512", "-max_len=65536"]
    options += [f"-artifact_prefix={folder}/found-{target}-", "-print_final_stats=1"]
    dictionary = folder / "fuzz" / "dictionaries" / f"{target}.dict"
    options += [f"-dict={dictionary}"] if dictionary.exists() else []
    command = ["nice", "-n", str(level), str(program), str(work), *options]
    found = subprocess.run(command, cwd=folder, env=os.environ | {"RAYON_NUM_THREADS": "1"}, capture_output=True, text=True)
    features = re.findall(r"ft: (\d+)", found.stderr) or ["?"]
    executions = (re.findall(r"number_of_executed_units: (\d+)", found.stderr) or ["?"])[0]
    line = f"{target}: exit status {found.returncode}, {executions} executions, ft {features[0]} to {features[-1]}"
    print(line, flush=True)
    with open(folder / "summary", "a") as summary:
        print(line, file=summary)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=int, default=150)
    parser.add_argument("--targets", help="names, with commas; all without")
    parser.add_argument("--jobs", type=int, default=1, help="of the compiler")
    parser.add_argument("--level", type=int, default=19, help="of nice")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    copy(folder)
    names = sorted(path.stem for path in (PROJECT / "fuzz" / "fuzz_targets").glob("*.rs"))
    names = arguments.targets.split(",") if arguments.targets else names
    environment = os.environ | {"RUSTC_BOOTSTRAP": "1", "RUSTFLAGS": " ".join(FLAGS)}
    build = ["nice", "-n", str(arguments.level), "cargo", "build", "--release", "--target", TARGET, "-j", str(arguments.jobs)]
    bins = [option for name in names for option in ["--bin", name]]
    subprocess.run(build + bins, cwd=folder / "fuzz", env=environment, check=True)
    for name in names:
        run(folder, name, arguments.seconds, arguments.level)


if __name__ == "__main__":
    main()
