"""PyTorch's steps and inferences, eager or compiled."""

import torch
from torch import nn
from torch.nn import functional as F


class Mlp(nn.Sequential):
    def __init__(self, net):
        layers = []
        for a, b in zip(net.sizes, net.sizes[1:]):
            layers += [nn.Linear(a, b), nn.ReLU()]
        super().__init__(*layers[:-1])


class Lenet(nn.Sequential):
    def __init__(self, net):
        super().__init__(
            nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
        )  # fmt: skip


class Block(nn.Module):
    def __init__(self, n, c, stride=1):
        super().__init__()
        self.first, self.second = nn.Conv2d(n, c, 3, stride, 1), nn.Conv2d(c, c, 3, 1, 1)
        self.norms = nn.ModuleList([nn.BatchNorm2d(c), nn.BatchNorm2d(c)])
        self.skip = nn.Identity() if stride == 1 and n == c else nn.Conv2d(n, c, 1, stride)

    def forward(self, x):
        y = F.mish(self.norms[0](self.first(x)))
        return F.mish(self.norms[1](self.second(y)) + self.skip(x))


class CifarResnet(nn.Sequential):
    def __init__(self, net):
        layers, n = [nn.Conv2d(3, 32, 3, 1, 1), nn.BatchNorm2d(32), nn.Mish()], 32
        for c in (32, 64, 128):
            layers += [Block(n, c, 2), Block(c, c), Block(c, c)]
            n = c
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))


class Lstm(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.lstm, self.head = nn.LSTM(64, 128, batch_first=True), nn.Linear(128, 10)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


class GptBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = self.qkv(self.norms[0](x)).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(a.transpose(1, 2).reshape(b, t, d))
        return x + self.down(F.gelu(self.up(self.norms[1](x))))


class Tinygpt(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.tokens = nn.Parameter(0.02 * torch.randn(256, 128))
        self.places = nn.Parameter(0.02 * torch.randn(128, 128))
        self.blocks = nn.Sequential(*[GptBlock(128, 4) for _ in range(4)], nn.LayerNorm(128))

    def forward(self, w):
        return self.blocks(F.embedding(w, self.tokens) + self.places[: w.shape[1]]) @ self.tokens.T


class HeatPinn(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1)).double()

    def forward(self, x, t):
        return self.net(torch.stack([x, t], -1))[:, 0]

    def loss(self, x, t, x0, u0):
        x, t = x.requires_grad_(), t.requires_grad_()
        u = self(x, t)
        u_x, u_t = torch.autograd.grad(u.sum(), (x, t), create_graph=True)
        (u_xx,) = torch.autograd.grad(u_x.sum(), x, create_graph=True)
        return ((u_t - 0.1 * u_xx) ** 2).mean() + ((self(x0, 0 * x0) - u0) ** 2).mean()


class Resnet500(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.weights = nn.ParameterList([nn.Parameter(torch.randn(32, 32) * 0.25) for _ in range(500)])

    def forward(self, x):
        for w in self.weights:
            x = x + 0.1 * F.relu(x @ w)
        return x


MODELS = {
    "mlp": Mlp, "lenet": Lenet, "cifar_resnet": CifarResnet, "lstm": Lstm, "tinygpt": Tinygpt, "heat_pinn": HeatPinn,
    "resnet500": Resnet500,
}  # fmt: skip


def inputs_of(net):
    """What the model takes, and the labels or targets of its loss."""
    b = net.batch
    classes = torch.randint(0, 10, (b,))
    match net.build:
        case "mlp":
            return (torch.randn(b, net.sizes[0]),), torch.randint(0, net.sizes[-1], (b,))
        case "lenet":
            return (torch.randn(b, 1, 28, 28),), classes
        case "cifar_resnet":
            return (torch.randn(b, 3, 32, 32),), classes
        case "lstm":
            return (torch.randn(b, net.dims[1], 64),), classes
        case "tinygpt":
            return (torch.randint(0, 256, net.dims),), torch.randint(0, 256, net.dims)
        case "heat_pinn":
            n, m = net.dims
            return tuple(torch.randn(k, dtype=torch.float64) for k in (n, n)), [torch.randn(m, dtype=torch.float64) for _ in range(2)]
        case "resnet500":
            return (torch.randn(b, 32),), torch.randn(b, 32)


def loss_function(net, model):
    """The loss of (inputs, target)."""
    if net.build == "heat_pinn":
        return lambda inputs, target: model.loss(*inputs, *target)
    if net.build == "resnet500":
        return lambda inputs, target: ((model(*inputs) - target) ** 2).mean()
    smooth = 0.1 if net.build == "cifar_resnet" else 0.0
    return lambda inputs, target: F.cross_entropy(model(*inputs).flatten(0, -2), target.flatten(), label_smoothing=smooth)


def output_function(net, model):
    if net.build in ("heat_pinn", "resnet500"):
        return model
    if net.build == "tinygpt":
        return lambda w: torch.softmax(model(w)[:, -1], -1)
    return lambda x: torch.softmax(model(x), -1)


def optimizer_of(net, model):
    parameters = model.parameters()
    if net.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=net.rate, fused=True)
    if net.optimizer == "momentum":
        return torch.optim.SGD(parameters, lr=net.rate, momentum=0.9, weight_decay=5e-4, fused=True)
    return torch.optim.SGD(parameters, lr=net.rate, fused=True)


def call_of(net, kind, threads, compiled):
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = MODELS[net.build](net)
    inputs, target = inputs_of(net)
    if net.build == "cifar_resnet":  # the layout that is faster here
        model = model.to(memory_format=torch.channels_last)
        inputs = tuple(x.contiguous(memory_format=torch.channels_last) for x in inputs)
    if kind == "infer":
        model.eval()
        with torch.inference_mode():
            infer = output_function(net, model)
            if compiled:
                infer = torch.compile(infer)

            @torch.inference_mode()
            def call():
                infer(*inputs)

            return call
    optimizer = optimizer_of(net, model)
    loss_of = loss_function(net, model)
    if compiled:
        loss_of = torch.compile(loss_of)

    def call():
        optimizer.zero_grad(set_to_none=True)
        loss_of(inputs, target).backward()
        optimizer.step()

    return call
