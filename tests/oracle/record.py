#!/usr/bin/env python3
"""Records what PyTorch computes, in f64, for every activation, loss, layer and optimizer of the library.

    tests/oracle/setup.sh && build/oracle/bin/python tests/oracle/record.py

writes recorded/*.json, one record a line, which oracle_test replays without PyTorch. A record of cases.py holds a
network (`source`), what its parameters and inputs are (`given`), and the expected `results` of inference, `loss` of
training, `grads` of it by path, and new `state`. A record of steps.py holds gradients step by step, and the
parameters after each. Numbers that are given have few digits; those that are expected have 13, for a test at 1e-9.
"""
import json
import pathlib

import cases
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


def write(name, records):
    lines = [json.dumps(compact(r), separators=(",", ":"), ensure_ascii=False) for r in records]
    (FOLDER / f"{name}.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")
    print(f"{name}: {len(lines)} records")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for group, records in cases.all_groups():
        write(group, records)
    write("optimizers", steps.all_records())
