"""The nets of the bench: their extents, cost, and the peers that are measured on them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Net:
    name: str
    source: str  # nets/SOURCE.net
    dims: tuple[int, ...]  # of the compiled net's free dims, in its order; the first one is the batch
    forward: float  # flops of the contractions of an inference
    step: float  # and of a step: forward, cotangents of what is no input, gradients of all weights
    build: str = "mlp"  # a function of peers_torch.py, peers_jax.py and peers_onnx.py
    sizes: tuple[int, ...] = ()  # what it takes
    optimizer: str = "sgd"
    rate: float = 1e-3
    kinds: tuple[str, ...] = ("step", "infer")
    peers: tuple[str, ...] = ("torch", "torch.compile", "jax", "jax.loop", "onnxruntime")
    wanted: tuple[float, float] | None = None  # a step against the best peer's, times faster, with 1 and 2 threads
    double: bool = False  # f64, at half the peak

    @property
    def batch(self) -> int:
        return self.dims[0]

    def flops(self, kind: str) -> float:
        return self.forward if kind == "infer" else self.step


def mlp(name, batch, source, widths, **more):
    """y = xW; then dW = x'dy, and dx = dy W' but for the first layer."""
    forward = [2.0 * batch * a * b for a, b in zip(widths, widths[1:])]
    return Net(name, source, (batch,), sum(forward), 3 * sum(forward) - forward[0], sizes=widths, **more)


def convolutions(name, batch, source, layers, **more):
    """Layers: multiply-adds a sample, the first one's input has no cotangent."""
    forward = [2.0 * batch * macs for macs in layers]
    return Net(name, source, (batch,), sum(forward), 3 * sum(forward) - forward[0], build=source, peers=_NO_JAX, **more)


def _resnet():
    """Multiply-adds of each convolution of cifar_resnet.net, every tap counted."""
    layers, n, side = [3 * 32 * 9 * 32 * 32], 32, 32
    for c in (32, 64, 128):
        side //= 2
        layers += [n * c * 9 * side**2, c * c * 9 * side**2, n * c * side**2] + 4 * [c * c * 9 * side**2]
        n = c
    return layers + [1280]


def _tinygpt(batch, time, width=128, blocks=4, vocabulary=256):
    block = 12 * width * width + 2 * time * width  # the whole square of scores, as peers compute it
    return 2.0 * batch * time * (blocks * block + width * vocabulary)


# JAX takes 1.4 to 2.5 times as long as the best of the others for these, and seconds to compile.
_NO_JAX = ("torch", "torch.compile", "onnxruntime")
_WIDE = (784, 512, 512, 10)
_LSTM = 2.0 * 32 * 64 * 128 * 4  # a row of weights, over all steps
_PINN = 2.0 * (2 * 32 + 32 * 32 + 32)  # a point through the net

NETS = (
    mlp("mlp64_b1", 1, "mlp64", (64, 64, 10), kinds=("infer",)),
    mlp("mlp64_b32", 32, "mlp64", (64, 64, 10), wanted=(3, 4)),
    mlp("mlp784_b1", 1, "mlp784", _WIDE, wanted=(2, 2.5)),
    mlp("mlp784_b32", 32, "mlp784", _WIDE, wanted=(1.5, 1.9)),
    mlp("mlp784_b128", 128, "mlp784", _WIDE, wanted=(1.35, 1.7)),
    mlp("mlp784_b128_adam", 128, "mlp784_adam", _WIDE, optimizer="adam", rate=1e-4, wanted=(1.5, 1.9)),
    mlp("mlp784_b1024", 1024, "mlp784", _WIDE, wanted=(1.2, 1.35)),
    mlp("mlp1024x4_b128", 128, "mlp1024x4", (1024, 1024, 1024, 1024, 1024, 10), wanted=(1.5, 1.6)),
    convolutions(
        "lenet_b128", 128, "lenet", [6 * 25 * 784, 16 * 6 * 25 * 100, 400 * 120, 120 * 84, 840], wanted=(6, 7)
    ),
    convolutions("cifar_resnet_b64", 64, "cifar_resnet", _resnet(), optimizer="momentum", wanted=(2.8, 3.2)),
    Net(
        "lstm128_t64_b32", "lstm128", (32, 64), _LSTM * (64 + 128), _LSTM * (3 * (64 + 128) - 64),
        build="lstm", peers=_NO_JAX, optimizer="adam", rate=1e-4, wanted=(1.8, 2.2),
    ),
    Net(
        "tinygpt_t64_b16", "tinygpt", (16, 64), _tinygpt(16, 64), 3 * _tinygpt(16, 64),
        build="tinygpt", peers=_NO_JAX, optimizer="adam", rate=1e-4, wanted=(3.4, 3.6),
    ),
    # u, its derivatives u_t, u_x, u_xx and u at the start, each with its backward pass: about 16 passes over points.
    Net(
        "heat_pinn_b1024", "heat_pinn", (1024, 1024), 1024 * _PINN, 16 * 1024 * _PINN,
        build="heat_pinn", peers=("torch", "jax", "jax.loop"), optimizer="adam", rate=1e-4, wanted=(4, 4), double=True,
    ),
    Net(
        "resnet500_b32", "resnet500", (32,), 500 * 2.0 * 32**3, 3 * 500 * 2.0 * 32**3,
        build="resnet500", peers=("torch", "jax", "jax.loop", "onnxruntime"), rate=1e-6, wanted=(8, 12),
    ),
)
