"""The six programs of the language's reference in small: losses of 50 training steps, first gradients, last parameters."""
import math

import torch
import torch.nn.functional as F

from cases import flat, gru_weights, hash_of, OPTIONS, some

torch.set_default_dtype(torch.float64)
STEPS = 50
BATCHES = 2  # taken in turns


class Program:
    """A file of examples/ after `changes` of its text: smaller, in f64, and its noise an input.

    `params`, `state` and `inputs` are (shape,), (shape, low, high), or (shape, classes) for integers, by path or name;
    inputs also (shape, p, "mask") for what dropout of p keeps, times 1 / (1 - p). `losses(tensors)` returns the terms
    by name, and the new state. `fixed` parameters are not trained, `clip` is the bound of the gradient's norm, and
    `optimizers` are (text, maker, factor of its rate by (step, epoch)), first the file's own.
    """

    def __init__(self, name, changes, params, inputs, losses, optimizers, state=(), fixed=(), clip=None, epoch_of=lambda s: 0):
        self.name, self.changes, self.params, self.inputs, self.losses = name, changes, params, inputs, losses
        self.optimizers, self.state, self.fixed, self.clip, self.epoch_of = optimizers, dict(state), fixed, clip, epoch_of

    def records(self):
        for number in range(len(self.optimizers)):
            yield self.record(number)

    def record(self, number):
        text, make, factor = self.optimizers[number]
        generator = torch.Generator().manual_seed(hash_of(self.name))
        params = {n: torch.nn.Parameter(drawn(generator, s)) for n, s in self.params.items()}
        state = {n: drawn(generator, s) for n, s in self.state.items()}
        batches = [{n: drawn(generator, s) for n, s in self.inputs.items()} for _ in range(BATCHES)]
        out = {
            "name": f"{self.name}, {text}",
            "program": self.name,
            "changes": self.changes + [[self.optimizers[0][0], text]],
            "params": {n: flat(v) for n, v in params.items()},
            "state": {n: flat(v) for n, v in state.items()},
            "batches": [{n: flat(v) for n, v in b.items()} for b in batches],
            "epochs": [self.epoch_of(s) for s in range(STEPS)],
            "losses": [],
        }
        trained = [v for n, v in params.items() if n not in self.fixed]
        optimizer = make(trained)
        rates = [group["lr"] for group in optimizer.param_groups]
        for step in range(STEPS):
            terms, state = self.losses({**params, **state, **batches[step % BATCHES]})
            total = sum(terms.values())
            out["losses"].append(flat(total)[0])
            optimizer.zero_grad()
            total.backward()
            if step == 0:
                out["terms"] = {n: flat(v) for n, v in terms.items()}
                out["grads"] = {n: flat(torch.zeros_like(p) if p.grad is None else p.grad) for n, p in params.items()}
            if self.clip:
                torch.nn.utils.clip_grad_norm_(trained, self.clip)
            for group, rate in zip(optimizer.param_groups, rates):
                group["lr"] = rate * factor(step, self.epoch_of(step))
            optimizer.step()
            state = {n: v.detach() for n, v in state.items()}
        out["trained"] = {n: flat(p) for n, p in params.items()}
        out["trained state"] = {n: flat(v) for n, v in state.items()}
        return out


def drawn(generator, spec):
    shape = spec[0]
    if spec[-1] == "mask":
        return (torch.rand(shape, generator=generator) >= spec[1]) / (1 - spec[1])
    if spec[-1] == "length":
        return torch.randint(1, spec[1] + 1, shape, generator=generator)
    if len(spec) == 2:
        return torch.randint(0, spec[1], shape, generator=generator)
    return some(generator, shape, *spec[1:] or (-0.7, 0.7))


def constant(step, epoch):
    return 1.0


def cosine(warmup):
    def factor(step, epoch):
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (STEPS - warmup)))
    return factor


def dense(t, path, x):
    return F.linear(x, t[f"{path}.W"].T, t[f"{path}.b"])


def of_dense(path, m, n):
    return {f"{path}.W": ((m, n),), f"{path}.b": ((n,),)}


# mnist ---------------------------------------------------------------------------------------------------------------
def mnist(t):
    h = t["x"] + t["e"]
    h = (h @ t["maxout.W"] + t["maxout.b"]).reshape(4, 5, 3).amax(-1) * t["m1"]
    h = torch.relu(dense(t, "dense", h)) * t["m2"]
    z = dense(t, "dense_2", h)
    l2 = 1e-4 * sum((t[n] ** 2).sum() for n in ("maxout.W", "dense.W", "dense_2.W"))
    return {"ce": F.cross_entropy(z, t["y"]), "l2": l2}, {}


MNIST = Program(
    "mnist",
    [["model mnist", "fn kept(x, m) = x * m\nmodel mnist : f64"], ["H = 256", "H = 5, B = 4"],
     ["input x[B, 784]", "input m1[B, H]; input m2[B, H]\n  input x[B, 6]"], ["noise e[B, 784] ~ normal(0, 0.05)", "input e[B, 6]"],
     ["dropout(0.3)", "kept(_, m1)"], ["dropout(0.5)", "kept(_, m2)"], ["warmup = 500", "warmup = 10"]],
    {"maxout.W": ((6, 15),), "maxout.b": ((15,),), **of_dense("dense", 5, 5), **of_dense("dense_2", 5, 10)},
    {"x": ((4, 6),), "e": ((4, 6), -0.1, 0.1), "y": ((4,), 10), "m1": ((4, 5), 0.3, "mask"), "m2": ((4, 5), 0.5, "mask")},
    mnist,
    [("adamw(lr = cosine(1e-3, warmup = 10))", lambda p: torch.optim.AdamW(p, lr=1e-3), cosine(10)),
     ("sgd(lr = 0.1, momentum = 0.9)", lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), constant)],
    clip=1.0)


# resnet --------------------------------------------------------------------------------------------------------------
def resnet(t):
    state = {}

    def bnorm(path, x):
        mu, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        for name, value in (("m", mu), ("v", var)):
            state[f"{path}.{name}"] = 0.9 * t[f"{path}.{name}"] + 0.1 * value
        x = (x - mu[:, None, None]) / torch.sqrt(var[:, None, None] + 1e-5)
        return x * t[f"{path}.g"][:, None, None] + t[f"{path}.b"][:, None, None]

    def conv(path, x, stride=1, padding=1):
        return F.conv2d(x, t[f"{path}.W"], t[f"{path}.b"], stride, padding)

    def block(path, x, stride):
        y = F.mish(bnorm(f"{path}.bnorm", conv(f"{path}.conv", x, stride)))
        y = bnorm(f"{path}.bnorm_2", conv(f"{path}.conv_2", y))
        return F.mish(y + (conv(f"{path}.conv_3", x, stride, 0) if stride == 2 else x))

    h = F.mish(bnorm("bnorm", conv("conv", t["x"])))
    for i in range(2):
        h = block(f"resblock[{i}]", h, 2)
        for j in range(2):
            h = block(f"resblock_2[{i}][{j}]", h, 1)
    z = dense(t, "dense", h.mean((2, 3)))
    return {"ce": F.cross_entropy(z, t["y"], label_smoothing=0.1)}, state


def of_bnorm(path, c):
    return {f"{path}.g": ((c,),), f"{path}.b": ((c,),)}, {f"{path}.m": ((c,),), f"{path}.v": ((c,), 0.5, 2.0)}


def of_conv(path, c, n, k):
    return {f"{path}.W": ((c, n, k, k),), f"{path}.b": ((c,),)}


def resnet_tensors():
    params, state = of_conv("conv", 2, 3, 3), {}

    def norm(path, c):
        p, s = of_bnorm(path, c)
        params.update(p)
        state.update(s)

    def block(path, c, n, stride):
        params.update(of_conv(f"{path}.conv", c, n, 3))
        norm(f"{path}.bnorm", c)
        params.update(of_conv(f"{path}.conv_2", c, c, 3))
        norm(f"{path}.bnorm_2", c)
        if stride == 2:
            params.update(of_conv(f"{path}.conv_3", c, n, 1))

    norm("bnorm", 2)
    n = 2
    for i, c in enumerate((2, 3)):
        block(f"resblock[{i}]", c, n, 2)
        for j in range(2):
            block(f"resblock_2[{i}][{j}]", c, c, 1)
        n = c
    params.update(of_dense("dense", 3, 10))
    return params, state


RESNET = Program(
    "resnet",
    [["model cifar", "model cifar : f64"], ["input x[B, 3, 32, 32]", "const B = 3\n  input x[B, 3, 8, 8]"],
     ["conv(32, 3)", "conv(2, 3)"], ["[32, 64, 128]", "[2, 3]"], ["every = 30", "every = 1"]],
    resnet_tensors()[0], {"x": ((3, 3, 8, 8),), "y": ((3,), 10)}, resnet,
    [("sgd(lr = step(0.1, every = 1, by = 0.1), momentum = 0.9, wd = 5e-4)", lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=5e-4), lambda step, epoch: 0.1**epoch),
     ("adam(lr = 1e-3)", lambda p: torch.optim.Adam(p, lr=1e-3), constant)],
    state=resnet_tensors()[1], epoch_of=lambda step: step // 25)


# tagger --------------------------------------------------------------------------------------------------------------
def tagger(t):
    x = F.embedding(t["w"], t["embed.W"])
    h = c = torch.zeros(2, 4)
    turns = []
    for step in range(3):
        i, f, o, g = (x[:, step] @ t["lstm.W"] + h @ t["lstm.U"] + t["lstm.b"]).split(4, -1)
        c = torch.sigmoid(f + 1) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        turns.append(h)
    h = torch.stack(turns, 1) * t["m1"]
    weights = gru_weights({f"f.{n}": t[f"gru.{n}"] for n in "WUbc"}, 3)
    h = torch._VF.gru(h, torch.zeros(1, 2, 3), weights, *OPTIONS)[0]
    z = dense(t, "dense", h)
    losses = F.cross_entropy(z.reshape(6, 17), t["tag"].reshape(6), reduction="none").reshape(2, 3)
    lengths = t["len"]
    return {"ce": (losses * (torch.arange(3)[None] < lengths[:, None])).sum() / lengths.sum()}, {}


TAGGER = Program(
    "tagger",
    [["model tagger", "fn kept(x, m) = x * m\nmodel tagger : f64"], ["input w[B, T]", "const B = 2, T = 3\n  input m1[B, T, 4]; input w[B, T]"],
     ["embed(5000, 64)", "embed(5, 3)"], ["lstm(128)", "lstm(4)"], ["gru(64)", "gru(3)"], ["dropout(0.2)", "kept(_, m1)"],
     ["norm(5)", "norm(0.5)"]],
    {"embed.W": ((5, 3),), "lstm.W": ((3, 16),), "lstm.U": ((4, 16),), "lstm.b": ((16,),), "gru.W": ((4, 9),), "gru.U": ((3, 9),),
     "gru.b": ((9,),), "gru.c": ((3,),), **of_dense("dense", 3, 17)},
    {"w": ((2, 3), 5), "tag": ((2, 3), 17), "len": ((2,), 3, "length"), "m1": ((2, 3, 4), 0.2, "mask")}, tagger,
    [("adam(lr = 2e-3)", lambda p: torch.optim.Adam(p, lr=2e-3), constant),
     ("adagrad(lr = 0.05)", lambda p: torch.optim.Adagrad(p, lr=0.05), constant)],
    clip=0.5)


# tinygpt -------------------------------------------------------------------------------------------------------------
def tinygpt(t):
    def norm(path, x):
        return F.layer_norm(x, (8,), t[f"{path}.g"], t[f"{path}.b"], 1e-5)

    def attention(path, x):
        qkv = dense(t, f"{path}.dense", x).reshape(2, 3, 3, 4, 2).permute(2, 0, 3, 1, 4)
        s = qkv[0] @ qkv[1].transpose(-1, -2) / math.sqrt(2)
        s = torch.where(torch.tril(torch.ones(3, 3)) > 0, s, -torch.inf)
        a = torch.softmax(s, -1) * t["m1"]
        return dense(t, f"{path}.dense_2", (a @ qkv[2]).permute(0, 2, 1, 3).reshape(2, 3, 8))

    def block(path, x):
        x = x + attention(f"{path}.attention", norm(f"{path}.layernorm", x))
        return x + dense(t, f"{path}.dense_2", F.gelu(dense(t, f"{path}.dense", norm(f"{path}.layernorm_2", x))))

    h = F.embedding(t["w"], t["E"]) + t["P"][:3]
    for i in range(2):
        h = block(f"block[{i}]", h)
    z = norm("layernorm", h) @ t["E"].T
    return {"ce": F.cross_entropy(z.reshape(6, 5), t["next"].reshape(6))}, {}


def tinygpt_params():
    def norm(path):
        return {f"{path}.g": ((8,), 0.5, 1.5), f"{path}.b": ((8,),)}
    out = {"E": ((5, 8),), "P": ((4, 8),), **norm("layernorm")}
    for i in range(2):
        p = f"block[{i}]"
        out |= {**norm(f"{p}.layernorm"), **of_dense(f"{p}.attention.dense", 8, 24), **of_dense(f"{p}.attention.dense_2", 8, 8),
                **norm(f"{p}.layernorm_2"), **of_dense(f"{p}.dense", 8, 32), **of_dense(f"{p}.dense_2", 32, 8)}
    return out


TINYGPT = Program(
    "tinygpt",
    [["layer attention(heads)", "fn kept(x, m) = x * m\nlayer attention(heads, m)"], ["dropout(0.1)", "kept(_, m)"],
     ["layer block(heads)", "layer block(heads, m)"], ["|> attention(heads)", "|> attention(heads, m)"], ["model tinygpt", "model tinygpt : f64"],
     ["const D = 128, V = 256, MAX = 128", "const D = 8, V = 5, MAX = 4, B = 2, T = 3\n  input m1[B, 4, T, T]"],
     ["repeat(4, block(heads = 4))", "repeat(2, block(heads = 4, m = m1))"], ["warmup = 200", "warmup = 10"]],
    tinygpt_params(), {"w": ((2, 3), 5), "next": ((2, 3), 5), "m1": ((2, 4, 3, 3), 0.1, "mask")}, tinygpt,
    [("adamw(lr = cosine(3e-4, warmup = 10), wd = 0.1)", lambda p: torch.optim.AdamW(p, lr=3e-4, weight_decay=0.1), cosine(10)),
     ("rmsprop(lr = 1e-3, momentum = 0.5)", lambda p: torch.optim.RMSprop(p, lr=1e-3, momentum=0.5), constant)])


# pair_vae ------------------------------------------------------------------------------------------------------------
def pair_vae(t):
    def encode(x):
        h = F.mish(dense(t, "enc.dense", x))
        return dense(t, "enc.dense_2", h), dense(t, "enc.dense_3", h)

    ma, la = encode(t["a"])
    mb, _ = encode(t["b"])
    dist = torch.sqrt(((ma - mb) ** 2).sum(-1) + 1e-9)
    same = t["same"]
    return {
        "recon": ((dense(t, "dec", ma + torch.exp(0.5 * la) * t["e"]) - t["a"]) ** 2).mean(),
        "latent": 0.5 * (-0.5 * (1 + la - ma**2 - torch.exp(la)).sum(-1)).mean(),
        "contrast": (same * dist**2 + (1 - same) * torch.clamp(1 - dist, min=0) ** 2).mean(),
    }, {}


PAIR_VAE = Program(
    "pair_vae",
    [["Z = 8, D = 32", "Z = 3, D = 5, B = 4"], ["dense(64, mish)", "dense(6, mish)"], ["noise e[B, Z] ~ normal(0, 1)", "input e[B, Z]"]],
    {**of_dense("enc.dense", 5, 6), **of_dense("enc.dense_2", 6, 3), **of_dense("enc.dense_3", 6, 3), **of_dense("dec", 3, 5)},
    {"a": ((4, 5),), "b": ((4, 5),), "same": ((4,), 2), "e": ((4, 3),)}, pair_vae,
    [("rmsprop(lr = 1e-3)", lambda p: torch.optim.RMSprop(p, lr=1e-3), constant),
     ("adamw(lr = 1e-2)", lambda p: torch.optim.AdamW(p, lr=1e-2), constant)],
    fixed=("dec.b",))


# heat ----------------------------------------------------------------------------------------------------------------
def heat(t):
    def u(x, time):
        h = torch.stack((x, time), -1)
        h = torch.tanh(dense(t, "net.dense[0]", h))
        h = torch.tanh(dense(t, "net.dense[1]", h))
        return dense(t, "net.dense_2", h)[:, 0]

    def derivative(y, x):
        return torch.autograd.grad(y.sum(), x, create_graph=True)[0]

    x, time = t["x"].clone().requires_grad_(), t["t"].clone().requires_grad_()
    out = u(x, time)
    u_xx = derivative(derivative(out, x), x)
    return {"pde": ((derivative(out, time) - 0.1 * u_xx) ** 2).mean(), "init": ((u(t["x0"], 0 * t["x0"]) - t["u0"]) ** 2).mean()}, {}


HEAT = Program(
    "heat", [["const K = 0.1", "const K = 0.1, N = 4, M = 3"], ["[32, 32, 1]", "[4, 3, 1]"]],
    {**of_dense("net.dense[0]", 2, 4), **of_dense("net.dense[1]", 4, 3), **of_dense("net.dense_2", 3, 1)},
    {"x": ((4,),), "t": ((4,), 0.0, 1.0), "x0": ((3,),), "u0": ((3,),)}, heat,
    [("adam(lr = 1e-3)", lambda p: torch.optim.Adam(p, lr=1e-3), constant),
     ("sgd(lr = 0.05, momentum = 0.9, nesterov = true)", lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True), constant)])


def all_records():
    for program in (MNIST, RESNET, TAGGER, TINYGPT, PAIR_VAE, HEAT):
        yield from program.records()
