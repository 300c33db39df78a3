"""The mlpc tool, by its command line: everything that is trained, run or differentiated here goes through it."""

import gzip
import json
import os
import pathlib
import subprocess
import tempfile

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
MLPC = os.environ.get("MLPC", str(HERE.parent.parent / "build/release/mlpc"))
FASHION = pathlib.Path("/usr/share/datasets/fashion-mnist")
_scratch = tempfile.TemporaryDirectory(prefix="lecture-")
SCRATCH = pathlib.Path(_scratch.name)
ONE_THREAD = ["--workers", 1]  # nets this small gain nothing from a second one; and bits are the same for any number


def call(*words):
    """Runs mlpc; returns what it prints. An error of the tool ends the program with the tool's own text."""
    done = subprocess.run([MLPC, *map(str, words)], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"lecture: failed: mlpc {' '.join(map(str, words))}")
    return done.stdout


class Net:
    """A .net file with constants: Net("universal", H=32). Weights are dicts of arrays by path. `level` is -O: a net
    that is run once compiles faster at 1, to the same bits. `unroll` writes loops of equal turns out."""

    def __init__(self, name, level=2, unroll=False, **constants):
        path = pathlib.Path(name)
        self.path = path if path.suffix else HERE / f"{name}.net"
        self.words = [f"-O{level}"] + ["--unroll"] * unroll + [word for key, value in constants.items() for word in ("-D", f"{key}={value}")]

    def init(self, seed):
        call("init", self.path, *self.words, "--seed", seed, "-o", SCRATCH / "init.safetensors")
        return read_safetensors(SCRATCH / "init.safetensors")

    def train(self, data, seed, validation=None, weights=None, settings=None, log_every=None):
        """Trains from `weights`, or from drawn ones. Returns the weights and the lines of the log: every
        `log_every`th epoch's, or none."""
        out, log = SCRATCH / "trained.safetensors", SCRATCH / "train.jsonl"
        words = ["train", self.path, *_inputs(data, "train"), *self.words, "--seed", seed, "--quiet", "-o", out, *ONE_THREAD]
        if validation:
            words += ["--val", *_inputs(validation, "validation")]
        if weights is not None:
            write_safetensors(SCRATCH / "start.safetensors", weights)
            words += ["--weights", SCRATCH / "start.safetensors"]
        if log_every:
            words += ["--log", log, "--log-every", log_every]
        words += [f"--train.{key}={value}" for key, value in (settings or {}).items()]
        call(*words)
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log_every else []
        return read_safetensors(out), lines

    def run(self, data, weights=None, entry="infer", seed=0):
        """The results of an entry by name; of `grad`, gradients by the paths of parameters, too."""
        out = SCRATCH / "out"
        out.mkdir(exist_ok=True)
        for old in out.iterdir():
            old.unlink()
        words = ["run", self.path, *_inputs(data, "run"), *self.words, "--entry", entry, "--seed", seed, "-o", out]
        words += ONE_THREAD
        if weights:
            write_safetensors(SCRATCH / "run.safetensors", weights)
            words += ["--weights", SCRATCH / "run.safetensors"]
        call(*words)
        return {file.stem: np.load(file) for file in sorted(out.iterdir())}

    def evaluate(self, data, weights):
        """Losses and metrics over all rows."""
        write_safetensors(SCRATCH / "eval.safetensors", weights)
        words = ["eval", self.path, *_inputs(data, "eval"), *self.words, "--weights", SCRATCH / "eval.safetensors"]
        text = call(*words, *ONE_THREAD)
        return {name: float(value) for name, value in (line.split() for line in text.splitlines())}


def _inputs(data, use):
    """INPUT=FILE or INPUT=NUMBER; arrays become files."""
    words = []
    for name, value in data.items():
        if isinstance(value, np.ndarray):
            path = SCRATCH / f"{use}.{name}.npy"
            np.save(path, value)
            value = path
        words.append(f"{name}={value}")
    return words


_TYPES = {"F32": np.float32, "F64": np.float64}


def read_safetensors(path):
    """Parameters and state by path: an 8-byte length, a JSON table, the data."""
    blob = pathlib.Path(path).read_bytes()
    size = int.from_bytes(blob[:8], "little")
    table = json.loads(blob[8 : 8 + size])
    out = {}
    for name, row in table.items():
        if name == "__metadata__" or name.startswith("slot."):
            continue
        first, last = row["data_offsets"]
        data = np.frombuffer(blob[8 + size + first : 8 + size + last], _TYPES[row["dtype"]])
        out[name] = data.reshape(row["shape"]).copy()
    return out


def write_safetensors(path, weights):
    names = {np.dtype(kind): name for name, kind in _TYPES.items()}
    table, parts, offset = {}, [], 0
    for name, array in weights.items():
        data = np.ascontiguousarray(array).tobytes()
        table[name] = {
            "dtype": names[np.asarray(array).dtype],
            "shape": list(np.shape(array)),
            "data_offsets": [offset, offset + len(data)],
        }
        parts.append(data)
        offset += len(data)
    head = json.dumps(table).encode()
    pathlib.Path(path).write_bytes(len(head).to_bytes(8, "little") + head + b"".join(parts))


def fashion(kind):
    """All images, u8[n, 28, 28], and labels, i32[n], of Fashion-MNIST; kind is "train" or "t10k"."""

    def idx(name, shape):
        with gzip.open(FASHION / f"{kind}-{name}-ubyte.gz") as file:
            return np.frombuffer(file.read(), np.uint8, offset=4 + 4 * (1 + len(shape))).reshape(-1, *shape)

    return idx("images-idx3", (28, 28)), idx("labels-idx1", ()).astype(np.int32)
