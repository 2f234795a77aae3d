#!/usr/bin/env bash
# Does the program do on a GPU what it does on the processor, and how fast? Builds with CUDA, runs the tests that need a GPU and the benchmark on
# both, and prints a table for docs/src/performance.md.
#
#   scripts/check_gpu.sh                build, test and measure here (rustup, a CUDA toolkit and one GPU)
#   scripts/check_gpu.sh --build FOLDER only build; stripped programs go to FOLDER
#   scripts/check_gpu.sh --run FOLDER   test and measure with the programs in FOLDER, where there is no toolchain
#   scripts/check_gpu.sh --cpu          the same steps without CUDA, on the processor alone: a check of this script
#
# STARS and REPEATS set the size of the benchmark (default 65536 and 3).
set -euo pipefail
cd "$(dirname "$0")/.."

stars=${STARS:-65536}
repeats=${REPEATS:-3}
features=(--features cuda)
devices=(cuda cpu)
folder=target/check_gpu
mode=${1:-all}

build() {
    mkdir -p "$folder"
    # The messages of cargo name the programs that it made.
    cargo test --release "${features[@]}" --no-run --test gpu --message-format=json |
        python3 -c '
import json, shutil, sys
for line in sys.stdin:
    message = json.loads(line)
    name, program = message.get("target", {}).get("name"), message.get("executable")
    if program and name in ("gpu", "photosphere"):
        shutil.copy(program, sys.argv[1] + "/" + name)
' "$folder"
    strip "$folder/gpu" "$folder/photosphere"
    ls -l "$folder"
}

measure() {
    if command -v nvidia-smi >/dev/null; then
        nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
    fi
    if [[ $mode != --cpu ]]; then
        PHOTOSPHERE_MODEL=models/xp-simulated "$folder/gpu" --ignored --nocapture
    fi
    for device in "${devices[@]}"; do
        "$folder/photosphere" bench --model models/xp-simulated --stars "$stars" --repeats "$repeats" --device "$device" --json \
            >"$folder/bench_$device.json"
    done
    python3 - "$folder" "${devices[@]}" <<'PYTHON'
import datetime, json, sys

folder, devices = sys.argv[1], sys.argv[2:]
reports = {device: json.load(open(f"{folder}/bench_{device}.json")) for device in devices}
stages = [stage["stage"] for stage in reports[devices[0]]["stages"]]
print(f"\n{datetime.date.today()}, {reports[devices[0]]['stars']} stars, microseconds a star on the wall (one thread beside the device):\n")
print("| stage | " + " | ".join(reports[device]["device"] for device in devices) + " |")
print("|---" * (len(devices) + 1) + "|")
for index, stage in enumerate(stages):
    times = [reports[device]["stages"][index]["wall_microseconds"][0] for device in devices]
    print(f"| {stage} | " + " | ".join(f"{time:.2f}" for time in times) + " |")
fit = [reports[device]["fit_microseconds"] for device in devices]
print("| start, optimum, Fisher, flags (processor time) | " + " | ".join(f"{time:.2f}" for time in fit) + " |")
PYTHON
}

case $mode in
    all) build && measure ;;
    --build) folder=${2:?a folder} && build ;;
    --run) folder=${2:?a folder} && measure ;;
    --cpu) features=() && devices=(cpu) && build && measure ;;
    *) sed -n '2,12p' "$0" && exit 2 ;;
esac
