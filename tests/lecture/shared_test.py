"""What the lecture's claims share: files, and the checks of a picture."""

import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples/lecture"))

import numpy as np  # noqa: E402

import claim  # noqa: E402
import deep_shallow  # noqa: E402
import figure  # noqa: E402
import tool  # noqa: E402


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

    def test_a_claim_is_told_as_what_it_came_to(self):
        words = [claim.verdict(claim.Claim("", "", holds)) for holds in (True, False, None)]
        self.assertEqual(words, ["holds", "DOES NOT HOLD", "finding"])


if __name__ == "__main__":
    unittest.main()
