"""What the lecture's claims share: files, and the checks of a picture; and the page's quotations of the compiler."""

import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import types
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples/lecture"))

import numpy as np  # noqa: E402

import claim  # noqa: E402
import deep_shallow  # noqa: E402
import dump  # noqa: E402
import figure  # noqa: E402
import images  # noqa: E402
import lecture  # noqa: E402
import paths  # noqa: E402
import tool  # noqa: E402
import universal  # noqa: E402


# Three turns of h ↦ h + sin(h), which keep each h; then the sum of the last one and of all three.
LOOP = """
graph body.0 {
  %t = parameter turn 0 "t" : i64[]
  %h = parameter loop 0 "h" : f64[]
  %1 = sin(%h) : f64[] @3
  %next = add(%h, %1) : f64[]
  return loop 0 "h" %next
  return stacked 0 "hs" %next
}
graph forward {
  %x = parameter input 0 "x" : f64[] @0
  %last, %hs = scan(%x; body=body.0, consts=0, loops=1, length=[3], reverse=0) : f64[], f64[3]
  %all = reduce_sum(%hs; axes=[0]) : f64[]
  %L = add(%last, %all) : f64[]
  return loss_total 0 "loss" %L
}
"""


class Shared(unittest.TestCase):
    def test_weights_survive_a_file(self):
        weights = {"a.W": np.arange(6.0).reshape(2, 3), "b": np.float32([1.5]), "s": np.float64(2).reshape(())}
        with tempfile.NamedTemporaryFile() as file:
            tool.write_safetensors(file.name, weights)
            back = tool.read_safetensors(file.name)
        self.assertEqual(list(back), list(weights))
        for name, array in weights.items():
            np.testing.assert_array_equal(back[name], array)
            self.assertEqual(back[name].dtype, array.dtype)

    def test_a_picture_without_labels_or_legend_is_refused(self):
        bare, axes = figure.panels(1)
        axes[0].plot([1, 2], label="a")
        self.assertIn("label", figure.problems(bare)[0])
        axes[0].set(xlabel="x (s)", ylabel="y")
        self.assertEqual(figure.problems(bare), [])
        axes[0].plot([2, 1], label="b")
        self.assertIn("no legend", figure.problems(bare)[0])
        with tempfile.TemporaryDirectory() as directory, self.assertRaises(ValueError):
            figure.save(bare, pathlib.Path(directory), "bare")

    def test_a_picture_that_cuts_its_data_is_refused(self):
        for y, top in ([1, 3], 2), ([1, float("nan")], 4):
            cut, axes = figure.panels(1)
            axes[0].plot([1, 2], y, label="a")
            axes[0].set(xlabel="x", ylabel="y", ylim=(0, top))
            axes[0].axvline(1.5)
            self.assertEqual(figure.problems(cut), ["panel 1: a has points that are not in it"])

    def test_a_picture_is_the_same_bytes_twice(self):
        def drawn(directory):
            plot, axes = figure.panels(1)
            axes[0].plot([1, 3, 2])
            axes[0].set(xlabel="x", ylabel="y")
            figure.save(plot, pathlib.Path(directory), "p")
            return [(pathlib.Path(directory) / f"p.{kind}").read_bytes() for kind in ("svg", "png")]

        with tempfile.TemporaryDirectory() as a, tempfile.TemporaryDirectory() as b:
            self.assertEqual(drawn(a), drawn(b))

    def test_takagi_has_its_known_values(self):
        np.testing.assert_allclose(deep_shallow.takagi(np.array([0, 1, 2, 3]), 6), [0, 0.5, 2 / 3, 0.5], atol=1e-15)

    def test_a_loop_of_a_dump_counts_turn_by_turn(self):
        graphs = dump.graphs_in(LOOP)
        self.assertEqual(dump.size_of(graphs, "forward"), 3 * 2 + 2)
        self.assertEqual(dump.paths_between(graphs, "forward", "x", "loss"), 8 + (2 + 4 + 8))

    def test_a_walk_takes_every_path(self):
        da, db, count = paths.walked([0.5, 0.25], [0.0, 0.0])  # h = 0.7, 0.35, 0.0875
        np.testing.assert_allclose(da, [0.7 * 0.25, 0.35])
        np.testing.assert_allclose(db, [np.sin(0.7) * 0.25, np.sin(0.35)])
        self.assertEqual(count, 2 + 1)

    def test_a_modulus_of_continuity_is_the_greatest_change_over_a_distance(self):
        line = 3 * np.arange(universal.FINE + 1) / universal.FINE
        self.assertAlmostEqual(universal.modulus(line, 16), 3 / 16)
        self.assertAlmostEqual(universal.modulus(abs(line - 1.5), 1), 1.5)

    def test_images_are_moved_within_their_bounds(self):
        image = np.zeros((50, 5, 5))
        image[:, 2, 2] = 1
        rng = np.random.default_rng(1)
        np.testing.assert_array_equal(images._shifted(image, 0, rng), image)
        moved = images._shifted(image, 1, rng)
        self.assertTrue((moved[:, 1:4, 1:4].sum((1, 2)) == 1).all())
        self.assertEqual(len({int(one.argmax()) for one in moved}), 9)

    def test_a_claim_is_told_as_what_it_came_to(self):
        words = [claim.verdict(claim.Claim("", "", holds)) for holds in (True, False, None)]
        self.assertEqual(words, ["holds", "DOES NOT HOLD", "finding"])

    def test_a_claim_that_numpy_has_judged_can_fail(self):
        self.assertIs(claim.Claim("", "", np.float64(2) < 1).holds, False)

    def test_numbers_that_are_none_are_refused(self):
        sys.modules["broken"] = types.SimpleNamespace(measure=lambda seed, small: {"error": float("nan")})
        with tempfile.TemporaryDirectory() as directory, self.assertRaises(ValueError):
            lecture.run("broken", 1, True, pathlib.Path(directory))


class Page(unittest.TestCase):
    """README.md: each claim has its picture, and what the compiler shows of it, line by line. Values and places without
    a name have other numbers with each change of the library, so these are not compared."""

    @staticmethod
    def compared(line):
        return re.sub(r"%\d+", "%_", re.sub(r" @\d+", "", line)).strip()

    def test_each_claim_has_its_picture_and_quotations_that_are_true(self):
        text = (ROOT / "examples/lecture/README.md").read_text()
        sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, re.M | re.S))
        self.assertEqual(list(sections), lecture.NAMES)
        for name, section in sections.items():
            self.assertIn(f"(pictures/{name}.png)", section)
            quotations = re.findall(r"```\n\$ mlpc (.*?)```", section, re.S)
            self.assertTrue(quotations, name)
            for quotation in quotations:
                command, *quoted = quotation.strip().split("\n")
                words = [tool.MLPC, *shlex.split(command)]
                done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
                said = iter(done.stdout.splitlines())  # used up line by line: the order counts
                for line in quoted:
                    self.assertTrue(any(self.compared(one).startswith(self.compared(line)) for one in said), f"mlpc {command}: {line}")


if __name__ == "__main__":
    unittest.main()
