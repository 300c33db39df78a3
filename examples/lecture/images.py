"""Small sets of small Fashion-MNIST images, a share of whose labels is wrong: what is easily over-fitted."""

import functools

import numpy as np

from tool import fashion


@functools.cache
def _whole(kind):
    return fashion(kind)


def _shrunk(images, side):
    """28 × 28 bytes to side × side means, 0 … 1."""
    block = 28 // side
    return images.reshape(-1, side, block, side, block).mean((2, 4)) / 255


def _shifted(images, by, rng):
    """Each moved by up to `by` pixels along both axes; what comes in is background, 0."""
    side = images.shape[-1]
    wide = np.pad(images, ((0, 0), (by, by), (by, by)))
    places = rng.integers(0, 2 * by + 1, (len(images), 2))
    return np.stack([image[row : row + side, column : column + side] for image, (row, column) in zip(wide, places)])


def samples(seed, sizes, tests, side, wrong, shift=0):
    """Random disjoint sets of training images, of these sizes, and the first `tests` test images, as pairs of x, f32
    [n, side, side], and y, i32[n]. In the former, the share `wrong` of the labels is drawn anew; the test labels are
    right. All images are moved at random by up to `shift` pixels, then standardised by the mean of each pixel, and the
    one deviation, of the first set."""
    rng = np.random.default_rng(seed)
    images, labels = _whole("train")
    chosen = rng.permutation(len(images))
    sets = []
    for size in sizes:
        rows, chosen = chosen[:size], chosen[size:]
        y = labels[rows].copy()
        is_wrong = rng.random(size) < wrong
        y[is_wrong] = rng.integers(0, 10, is_wrong.sum())
        sets.append((_shifted(_shrunk(images[rows], side), shift, rng), y))
    images, labels = _whole("t10k")
    sets.append((_shifted(_shrunk(images[:tests], side), shift, rng), labels[:tests].copy()))
    mean, deviation = sets[0][0].mean(0), sets[0][0].std()
    return [(((x - mean) / deviation).astype(np.float32), y) for x, y in sets]
