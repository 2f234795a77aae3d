#!/usr/bin/env bash
# Does the program do on a GPU what it does on the processor, and how fast? Builds with CUDA, runs the tests that need a GPU and the benchmark on
# both, and prints a table for docs/src/performance.md.
#
#   scripts/check_gpu.sh                build, test and measure here (rustup, a CUDA toolkit and one GPU)
#   scripts/check_gpu.sh --build FOLDER only build; stripped programs go to FOLDER
#   scripts/check_gpu.sh --run FOLDER   test and measure with the programs in FOLDER, where there is no toolchain
#   scripts/check_gpu.sh --cpu          the same steps without CUDA, the device under test being the processor: a check of this script and of the tests
#
# STARS and REPEATS set the size of the benchmark (default 16384 and 3), LIMIT the seconds of a step (default 300). Kernels are compiled at run
# time and kept in ~/.cache/photosphere: the first run of a step takes a minute or more of compilation, the second none. Every step is run,
# whatever the others do; the exit code is 1 where one failed. Logs stay in the folder.
set -euo pipefail
cd "$(dirname "$0")/.."

stars=${STARS:-16384}
repeats=${REPEATS:-3}
limit=${LIMIT:-300}
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

# Compilation at run time needs the headers and the compiler library of a CUDA toolkit.
find_toolkit() {
    local compiler
    compiler=$(command -v nvcc || find /usr/local/cuda*/bin -name nvcc 2>/dev/null | head -1 || true)
    if [[ -n $compiler && -z ${CUDA_PATH:-} ]]; then
        CUDA_PATH=$(dirname "$(dirname "$(readlink -f "$compiler")")")
        export CUDA_PATH
    fi
    export LD_LIBRARY_PATH=${CUDA_PATH:-/usr/local/cuda}/lib64:${CUDA_PATH:-/usr/local/cuda}/targets/x86_64-linux/lib:${LD_LIBRARY_PATH:-}
}

failed=0

# NAME COMMAND…: runs it within the limit, with its log in the folder.
step() {
    local name=$1 begin=$SECONDS code=0
    shift
    timeout "$limit" "$@" >"$folder/$name.log" 2>&1 || code=$?
    echo "== $name: exit code $code, $((SECONDS - begin)) s"
    tail -n 30 "$folder/$name.log"
    if ((code != 0)); then failed=1; fi
}

measure() {
    if [[ $mode != --cpu ]]; then
        find_toolkit
        nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || true
    fi
    export PHOTOSPHERE_MODEL=models/xp-simulated PHOTOSPHERE_TEST_DEVICE=${devices[0]} RUST_BACKTRACE=1
    for name in operations flux optima spectra; do
        step "$name" "$folder/gpu" --ignored --nocapture "$name"
    done
    for device in "${devices[@]}"; do
        # Once for the kernels, once for the figures.
        if [[ $device != cpu ]]; then
            step "warm_up_$device" "$folder/photosphere" bench --model models/xp-simulated --stars "$stars" --repeats 1 --device "$device"
        fi
        step "bench_$device" "$folder/photosphere" bench --model models/xp-simulated --stars "$stars" --repeats "$repeats" --device "$device" \
            --json --quiet
        grep -v '^ *INFO' "$folder/bench_$device.log" >"$folder/bench_$device.json" || true
    done
    if ((failed == 0)); then table; fi
    return "$failed"
}

table() {
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
