"""Runs the lecture's claims: measures, judges, draws, and writes the table of all."""

import argparse
import importlib
import json
import pathlib
import time

from claim import verdict

# In the order of the lecture.
NAMES = [
    "paths", "modular", "worked", "vanishing", "resnet", "universal", "deep_shallow", "regularise", "dropout",
    "double_descent",
]  # fmt: skip


def run(name, seed, small, directory):
    """Measures one claim; writes its numbers and its picture. Returns its claims."""
    import figure  # not before it is needed: drawing is slow to load

    module = importlib.import_module(name)
    begin = time.monotonic()
    numbers = module.measure(seed, small)
    for folder in ("numbers", "pictures"):
        (directory / folder).mkdir(parents=True, exist_ok=True)
    # NaN and infinity are refused: comparisons, min and max pass over a NaN.
    text = json.dumps(numbers, indent=1, ensure_ascii=False, allow_nan=False)
    numbers_file(name, directory).write_text(text + "\n")
    numbers = json.loads(text)  # what is judged and drawn is what is written
    print(f"{name}: {time.monotonic() - begin:.0f} s")
    claims = module.claims(numbers)
    for claim in claims:
        print(f"  {verdict(claim)}: {claim.text}: {claim.measured}", flush=True)
    figure.save(module.draw(numbers), directory / "pictures", name)
    return claims


def numbers_file(name, directory):
    return directory / "numbers" / f"{name}.json"


def table(directory):
    """All claims, judged by the numbers that the last run of each has left."""
    lines = ["# What was measured", "", "| claim | measured | |", "|---|---|---|"]
    for name in NAMES:
        if not numbers_file(name, directory).exists():
            continue
        module = importlib.import_module(name)
        claims = module.claims(json.loads(numbers_file(name, directory).read_text()))
        lines.append(f"| **[{module.TITLE}](README.md#{name})** | | |")
        lines += [f"| {claim.text} | {claim.measured} | {verdict(claim)} |" for claim in claims]
    return "\n".join(lines) + "\n"


def main():
    here = pathlib.Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[*NAMES, "all"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--small", action="store_true", help="a reduced size, for the tests")
    parser.add_argument("--out", type=pathlib.Path, default=here, help="where its files are written")
    args = parser.parse_args()
    names = NAMES if args.name == "all" else [args.name]
    results = [claim for name in names for claim in run(name, args.seed, args.small, args.out)]
    (args.out / "claims.md").write_text(table(args.out))
    if any(claim.holds is False for claim in results):
        raise SystemExit("lecture: a claim does not hold")


if __name__ == "__main__":
    main()
