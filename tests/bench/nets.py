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
    wanted: tuple[float, float] | None = None  # a step against the best peer's, times faster, with 1 and 2 threads

    def flops(self, kind: str) -> float:
        """Of the contractions: y = xW; then dW = x'dy, and dx = dy W' but for the first layer."""
        forward = [2.0 * self.batch * a * b for a, b in zip(self.widths, self.widths[1:])]
        return sum(forward) if kind == "infer" else 3 * sum(forward) - forward[0]

    def kinds(self) -> tuple[str, ...]:
        return ("infer",) if self.only_infer else ("step", "infer")


_WIDE = (784, 512, 512, 10)

NETS = (
    Net("mlp64_b1", 1, "mlp64", (64, 64, 10), only_infer=True),
    Net("mlp64_b32", 32, "mlp64", (64, 64, 10), wanted=(3, 4)),
    Net("mlp784_b1", 1, "mlp784", _WIDE, wanted=(2, 2.5)),
    Net("mlp784_b32", 32, "mlp784", _WIDE, wanted=(1.5, 1.9)),
    Net("mlp784_b128", 128, "mlp784", _WIDE, wanted=(1.35, 1.7)),
    Net("mlp784_b128_adam", 128, "mlp784_adam", _WIDE, "adam", 1e-4, wanted=(1.5, 1.9)),
    Net("mlp784_b1024", 1024, "mlp784", _WIDE, wanted=(1.2, 1.35)),
    Net("mlp1024x4_b128", 128, "mlp1024x4", (1024, 1024, 1024, 1024, 1024, 10), wanted=(1.5, 1.6)),
    Net("lenet_b128", 128, wanted=(6, 7)),
    Net("cifar_resnet_b64", 64, wanted=(2.8, 3.2)),
    Net("lstm128_t64_b32", 32, wanted=(1.8, 2.2)),
    Net("tinygpt_t64_b16", 16, wanted=(3.4, 3.6)),
    Net("heat_pinn_b1024", 1024, wanted=(4, 4)),
    Net("resnet500_b32", 32, wanted=(8, 12)),
)
