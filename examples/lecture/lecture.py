"""Runs the lecture's claims: measures, judges, draws, and writes the table of all."""

import argparse
import importlib
import json
import pathlib
import time

from claim import verdict

# In the order of the lecture.
NAMES = ["worked", "deep_shallow", "regularise"]


def run(name, seed, small, directory):
    """Measures one claim; writes its numbers and its picture. Returns (title, claims)."""
    import figure  # not before it is needed: drawing is slow to load

    module = importlib.import_module(name)
    begin = time.monotonic()
    numbers = module.measure(seed, small)
    claims = module.claims(numbers)
    for folder in ("numbers", "pictures"):
        (directory / folder).mkdir(parents=True, exist_ok=True)
    (directory / "numbers" / f"{name}.json").write_text(json.dumps(numbers, indent=1, ensure_ascii=False) + "\n")
    figure.save(module.draw(numbers), directory / "pictures", name)
    print(f"{name}: {time.monotonic() - begin:.0f} s")
    for claim in claims:
        print(f"  {verdict(claim)}: {claim.text}: {claim.measured}")
    return module.TITLE, claims


def table(results):
    lines = ["# What was measured", "", "| claim | measured | |", "|---|---|---|"]
    for name, (title, claims) in results.items():
        lines.append(f"| **[{title}](README.md#{name})** | | |")
        lines += [f"| {claim.text} | {claim.measured} | {verdict(claim)} |" for claim in claims]
    return "\n".join(lines) + "\n"


def main():
    here = pathlib.Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[*NAMES, "all"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--small", action="store_true", help="a reduced size, for the tests")
    parser.add_argument("--out", type=pathlib.Path, default=here, help="where numbers/ and pictures/ are written")
    args = parser.parse_args()
    names = NAMES if args.name == "all" else [args.name]
    results = {name: run(name, args.seed, args.small, args.out) for name in names}
    if args.name == "all":
        (args.out / "claims.md").write_text(table(results))
    if any(claim.holds is False for _, claims in results.values() for claim in claims):
        raise SystemExit("lecture: a claim does not hold")


if __name__ == "__main__":
    main()
