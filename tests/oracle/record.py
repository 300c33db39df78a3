#!/usr/bin/env python3
"""Records what PyTorch computes, in f64, for every activation, loss, layer and optimizer of the library, and for programs.

    tests/oracle/setup.sh && build/oracle/bin/python tests/oracle/record.py [--check]

writes recorded/*.json, or with --check holds what is there against what PyTorch computes now. A file has one record a
line, which oracle_test replays without PyTorch. A record of cases.py holds a network (`source`), what its parameters
and inputs are (`given`), and the expected `results` of inference, `loss` of training, `grads` of it by path, `second`,
its Hessian times a `direction`, and new `state`. A record of steps.py holds gradients step by step, and the parameters
after each. A record of programs.py holds changes of a file of examples/, what its parameters, state and batches are,
the loss at each step, the first gradients, and parameters and state in the end. Numbers that are given have few
digits; those that are expected have 13, for a test at 1e-9.
"""
import json
import pathlib
import sys

import cases
import programs
import steps

FOLDER = pathlib.Path(__file__).parent / "recorded"


def compact(value):
    """Floats with 13 digits, whole ones as integers."""
    if isinstance(value, dict):
        return {k: compact(v) for k, v in value.items()}
    if isinstance(value, list):
        return [compact(v) for v in value]
    if isinstance(value, float):
        return int(value) if value == int(value) and abs(value) < 1e6 else float(f"{value:.13g}")
    return value


def differences(now, recorded, path=""):
    """Paths at which they differ by more than the tests allow."""
    if isinstance(now, dict) and isinstance(recorded, dict) and now.keys() == recorded.keys():
        return [d for key in now for d in differences(now[key], recorded[key], f"{path}.{key}")]
    if isinstance(now, list) and isinstance(recorded, list) and len(now) == len(recorded):
        return [d for i, pair in enumerate(zip(now, recorded)) for d in differences(*pair, f"{path}[{i}]")]
    if isinstance(now, (int, float)) and isinstance(recorded, (int, float)):
        return [] if abs(now - recorded) <= 1e-9 * max(1, abs(recorded)) else [path]
    return [] if now == recorded else [path]


def check(name, records):
    found = differences(compact(list(records)), json.loads((FOLDER / f"{name}.json").read_text()), name)
    if found:
        sys.exit(f"record: {len(found)} values are not what is recorded, the first at {found[0]}")


def write(name, records):
    lines = [json.dumps(compact(r), separators=(",", ":"), ensure_ascii=False) for r in records]
    (FOLDER / f"{name}.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")
    print(f"{name}: {len(lines)} records")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    take = check if sys.argv[1:] == ["--check"] else write
    for group, records in cases.all_groups():
        take(group, records)
    take("optimizers", steps.all_records())
    take("programs", programs.all_records())
