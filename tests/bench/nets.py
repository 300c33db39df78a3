"""The nets of the bench: how mlpc and its peers build them, and their cost.

A net that has no `source` yet is listed by the bench as not yet expressible.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Net:
    name: str
    batch: int
    source: str | None = None  # nets/SOURCE.net
    widths: tuple[int, ...] = ()  # of a multilayer perceptron: inputs, hidden layers, classes
    optimizer: str = "sgd"
    rate: float = 1e-3
    only_infer: bool = False  # a row of its own for the latency of a call

    def flops(self, kind: str) -> float:
        """Of the contractions: y = xW; then dW = x'dy, and dx = dy W' but for the first layer."""
        forward = [2.0 * self.batch * a * b for a, b in zip(self.widths, self.widths[1:])]
        return sum(forward) if kind == "infer" else 3 * sum(forward) - forward[0]

    def kinds(self) -> tuple[str, ...]:
        return ("infer",) if self.only_infer else ("step", "infer")


_WIDE = (784, 512, 512, 10)

NETS = (
    Net("mlp64_b1", 1, "mlp64", (64, 64, 10), only_infer=True),
    Net("mlp64_b32", 32, "mlp64", (64, 64, 10)),
    Net("mlp784_b1", 1, "mlp784", _WIDE),
    Net("mlp784_b32", 32, "mlp784", _WIDE),
    Net("mlp784_b128", 128, "mlp784", _WIDE),
    Net("mlp784_b128_adam", 128, "mlp784_adam", _WIDE, "adam", 1e-4),
    Net("mlp784_b1024", 1024, "mlp784", _WIDE),
    Net("mlp1024x4_b128", 128, "mlp1024x4", (1024, 1024, 1024, 1024, 1024, 10)),
    Net("lenet_b128", 128),
    Net("cifar_resnet_b64", 64),
    Net("lstm128_t64_b32", 32),
    Net("tinygpt_t64_b16", 16),
    Net("heat_pinn_b1024", 1024),
    Net("resnet500_b32", 32),
)

# Times faster than the best peer that a step is wanted to be, with 1 and 2 threads.
WANTED = {
    "mlp64_b32": (3, 4),
    "mlp784_b1": (2, 2.5),
    "mlp784_b32": (1.5, 1.9),
    "mlp784_b128": (1.35, 1.7),
    "mlp784_b128_adam": (1.5, 1.9),
    "mlp784_b1024": (1.2, 1.35),
    "mlp1024x4_b128": (1.5, 1.6),
    "lenet_b128": (6, 7),
    "cifar_resnet_b64": (2.8, 3.2),
    "lstm128_t64_b32": (1.8, 2.2),
    "tinygpt_t64_b16": (3.4, 3.6),
    "heat_pinn_b1024": (4, 4),
    "resnet500_b32": (8, 12),
}
