"""Networks and what PyTorch says of them: values, and first and second derivatives of sum(y * c)."""
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

torch.set_default_dtype(torch.float64)


def some(generator, shape, low=-2.0, high=2.0):
    """Values with three digits, none of them at a kink of 0."""
    x = torch.rand(shape, generator=generator) * (high - low) + low
    x = torch.round(x * 1000) / 1000
    return torch.where(x == 0, torch.full_like(x, 0.5), x)


class Case:
    """One net at several shapes. `lines` define y from the tensors; `torch` computes it from a dict of them.

    A tensor is (shape,), (shape, low, high) or (shape, classes) for integers; names with a dot are parameters of
    layers, the others are declared here, as parameters so that they have gradients, too; those in `state` are state.
    `torch` may return (y, {path: new state}); `infer` computes y where inference differs from training.
    """

    def __init__(self, name, lines, torch, shapes, state=(), infer=None):
        self.name, self.lines, self.torch, self.shapes = name, lines, torch, shapes
        self.state, self.infer = state, infer

    def records(self):
        for number, tensors in enumerate(self.shapes):
            yield self.record(number, tensors)

    def record(self, number, tensors):
        generator = torch.Generator().manual_seed(hash_of(f"{self.name} {number}"))
        values, declarations = {}, []
        for name, spec in tensors.items():
            if name == "hyper":
                continue
            shape = spec[0]
            if len(spec) == 2:
                values[name] = torch.randint(0, spec[1], shape, generator=generator)
                declarations.append(f"input {name}{extents(shape)} : i32")
                continue
            values[name] = some(generator, shape, *spec[1:])
            if "." not in name:
                declarations.append(f"param {name}{extents(shape)} = 0")
        hyper = tensors.get("hyper", {})
        leaves = {n: v for n, v in values.items() if v.is_floating_point() and n not in self.state}
        for v in leaves.values():
            v.requires_grad_()
        out = self.torch(dict(values), **hyper)
        y, state = out if isinstance(out, tuple) else (out, {})
        shown = self.infer(dict(values), **hyper) if self.infer else y
        c = some(generator, y.shape)
        lines = [self.lines.format(**hyper), "output r = y"]
        total = (y * c).sum()
        given = {**values, "c": c}
        declarations.append(f"input c{extents(y.shape)}")
        lines.append("loss d = sum(y * c)")
        grads = torch.autograd.grad(total, list(leaves.values()), allow_unused=True, create_graph=True)
        direction = {n: some(generator, v.shape) for n, v in leaves.items()}
        second = second_derivative(grads, leaves, direction)
        source = "\n".join(["model m : f64 {", *(f"  {line}" for line in declarations + lines), "}", ""])
        return {
            "name": f"{self.name} {number}",
            "source": source,
            "given": {n: flat(v) for n, v in given.items()},
            "results": {"r": flat(shown)},
            "loss": flat(total)[0],
            "grads": {n: flat(torch.zeros_like(v) if g is None else g)
                      for (n, v), g in zip(leaves.items(), grads)},
            "direction": {n: flat(v) for n, v in direction.items()},
            "second": {n: flat(v) for n, v in second.items()},
            "state": {n: flat(v) for n, v in state.items()},
        }


def second_derivative(grads, leaves, direction):
    """The Hessian of the total times the direction."""
    slope = sum((g * v).sum() for g, v in zip(grads, direction.values()) if g is not None)
    if not slope.requires_grad:
        return {n: torch.zeros_like(v) for n, v in leaves.items()}
    products = torch.autograd.grad(slope, list(leaves.values()), allow_unused=True)
    return {n: torch.zeros_like(v) + (0 if h is None else h) for (n, v), h in zip(leaves.items(), products)}


def hash_of(text):
    out = 0
    for c in text.encode():
        out = (out * 31 + c) % (1 << 31)
    return out


def extents(shape):
    return f"[{', '.join(map(str, shape))}]" if len(shape) else ""


def flat(tensor):
    return tensor.detach().to(torch.float64).reshape(-1).tolist()


def on(*shapes, low=-3.0, high=3.0):
    return [{"x": (s, low, high)} for s in shapes]


VECTORS = on((7,), (3, 5), (2, 1, 4))


def activation(net, torch_function, shapes=None):
    return Case(net, f"y = {net}", lambda t: torch_function(t["x"]), shapes or VECTORS)


ACTIVATIONS = [
    activation("identity(x)", lambda x: x * 1),
    activation("relu(x)", F.relu),
    activation("relu6(4 * x)", lambda x: F.relu6(4 * x)),
    activation("leaky_relu(x)", F.leaky_relu),
    activation("leaky_relu(x, 0.3)", lambda x: F.leaky_relu(x, 0.3)),
    activation("elu(x)", F.elu),
    activation("elu(x, alpha = 1.7)", lambda x: F.elu(x, 1.7)),
    activation("selu(x)", F.selu),
    activation("celu(x, 1.5)", lambda x: F.celu(x, 1.5)),
    activation("gelu(x)", F.gelu),
    activation("gelu_tanh(x)", lambda x: F.gelu(x, approximate="tanh")),
    activation("silu(x)", F.silu),
    activation("mish(x)", F.mish),
    activation("softplus(x)", F.softplus),
    activation("softsign(x)", F.softsign),
    activation("sigmoid(x)", torch.sigmoid),
    activation("log_sigmoid(x)", F.logsigmoid),
    activation("tanh(x)", torch.tanh),
    # F.hardsigmoid's derivative is a sixth of single precision.
    activation("hard_sigmoid(2 * x)", lambda x: torch.clamp(2 * x / 6 + 0.5, 0, 1)),
    activation("hard_swish(2 * x)", lambda x: F.hardswish(2 * x)),
    activation("softmax(x)", lambda x: F.softmax(x, -1)),
    activation("log_softmax(x)", lambda x: F.log_softmax(x, -1)),
    Case("prelu", "f = prelu()\ny = f(x)", lambda t: F.prelu(t["x"], t["f.a"].reshape(1)),
         [{"x": (s,), "f.a": ((),)} for s in [(7,), (3, 5), (2, 1, 4)]]),
]


def pair(net, torch_function, low=-2.0, high=2.0):
    shapes = [{"a": (s, low, high), "b": (s, low, high)} for s in [(5,), (3, 4), (2, 3, 1)]]
    return Case(net, f"y = {net}", lambda t: torch_function(t["a"], t["b"]), shapes)


def classes(net, torch_function):
    """Scores z and class numbers y; C = 1, 4 and 7."""
    shapes = [{"z": (b + (c,)), "t": (b, c)} for b, c in [((3,), 4), ((2, 3), 7), ((5,), 1)]]
    shapes = [{"z": (s["z"],), "t": s["t"]} for s in shapes]
    return Case(net, f"y = {net}", lambda t: torch_function(t["z"], t["t"]), shapes)


def by_class(z, t, **options):
    """cross_entropy over the last axis; PyTorch has classes on axis 1."""
    flat_loss = F.cross_entropy(z.reshape(-1, z.shape[-1]), t.reshape(-1), reduction="none", **options)
    return flat_loss.reshape(t.shape)


def probabilities(net, torch_function):
    shapes = [{"z": (s,), "q": (s, 0.1, 1.0)} for s in [(3, 4), (2, 3, 5), (6, 1)]]
    return Case(net, f"p = q / sum(q, axis = -1)[.., _]\ny = {net}",
                lambda t: torch_function(t["z"], t["q"] / t["q"].sum(-1, keepdim=True)), shapes)


def by_probability(z, q, **options):
    n = z.shape[-1]
    return F.cross_entropy(z.reshape(-1, n), q.reshape(-1, n), reduction="none", **options).reshape(z.shape[:-1])


TRIPLES = [{"a": (s,), "p": (s,), "n": (s,)} for s in [(5, 3), (2, 4, 6), (1, 7)]]

LOSSES = [
    pair("mse(a, b)", F.mse_loss),
    pair("mae(a, b)", F.l1_loss),
    pair("huber(a, b)", F.huber_loss),
    pair("huber(a, b, delta = 0.7)", lambda a, b: F.huber_loss(a, b, delta=0.7)),
    pair("log_cosh(a, b)", lambda a, b: torch.log(torch.cosh(a - b)).mean()),
    classes("cross_entropy(z, t)", by_class),
    classes("cross_entropy(z, t, smooth = 0.2)", lambda z, t: by_class(z, t, label_smoothing=0.2)),
    probabilities("cross_entropy(z, p)", by_probability),
    probabilities("cross_entropy(z, p, smooth = 0.1)", lambda z, q: by_probability(z, q, label_smoothing=0.1)),
    classes("nll(log_softmax(z), t)", by_class),
    pair("binary_cross_entropy(a, b)",
         lambda a, b: F.binary_cross_entropy_with_logits(a, b, reduction="none"), low=0.05, high=0.95),
    probabilities("kl(log_softmax(z), p)",
                  lambda z, q: F.kl_div(F.log_softmax(z, -1), q, reduction="none").sum(-1)),
    Case("hinge", "y = hinge(z, 2 * f64(t) - 1)", lambda t: torch.clamp(1 - t["z"] * (2 * t["t"] - 1), min=0),
         [{"z": (s,), "t": (s, 2)} for s in [(6,), (2, 5), (3, 1, 2)]]),
    pair("cosine_distance(a, b)",
         lambda a, b: 1 - F.cosine_similarity(a, b, dim=-1)),
    Case("triplet", "y = triplet(a, p, n)",
         lambda t: F.triplet_margin_loss(t["a"], t["p"], t["n"], reduction="none"), TRIPLES),
    Case("triplet margin", "y = triplet(a, p, n, margin = 2.5)",
         lambda t: F.triplet_margin_loss(t["a"], t["p"], t["n"], margin=2.5, reduction="none"), TRIPLES),
]


def dense_shapes(bias):
    out = []
    for batch, m, n in [((3,), 4, 5), ((), 3, 1), ((2, 3), 1, 2)]:
        shape = {"x": (batch + (m,),), "f.W": ((m, n),), "hyper": {"n": n}}
        if bias:
            shape["f.b"] = ((n,),)
        out.append(shape)
    return out


def batchnormed(name, shapes):
    """Training has the batch's mean and variance, inference the running ones, which training moves by a tenth."""
    def train(t):
        m, v = t["f.m"].clone(), t["f.v"].clone()
        return F.batch_norm(t["x"], m, v, t["f.g"], t["f.b"], training=True), {"f.m": m, "f.v": v}

    def infer(t):
        return F.batch_norm(t["x"], t["f.m"], t["f.v"], t["f.g"], t["f.b"])
    tensors = [{"x": (s,), "f.g": ((s[1],),), "f.b": ((s[1],),), "f.m": ((s[1],),), "f.v": ((s[1],), 0.5, 2.0)}
               for s in shapes]
    return Case(name, f"f = {name}()\ny = f(x)", train, tensors, state=("f.m", "f.v"), infer=infer)


LAYERS = [
    Case("dense", "f = dense({n})\ny = f(x)", lambda t, n: F.linear(t["x"], t["f.W"].T, t["f.b"]),
         dense_shapes(True)),
    Case("dense without bias, tanh", "f = dense({n}, tanh, bias = false)\ny = f(x)",
         lambda t, n: torch.tanh(F.linear(t["x"], t["f.W"].T)), dense_shapes(False)),
    Case("mlp", "f = mlp([5, 3, {n}], tanh)\ny = f(x)",
         lambda t, n: F.linear(torch.tanh(F.linear(torch.tanh(F.linear(t["x"], t["f.dense[0].W"].T, t["f.dense[0].b"])),
                                                   t["f.dense[1].W"].T, t["f.dense[1].b"])),
                               t["f.dense_2.W"].T, t["f.dense_2.b"]),
         [{"x": (b + (m,),), "f.dense[0].W": ((m, 5),), "f.dense[0].b": ((5,),), "f.dense[1].W": ((5, 3),),
           "f.dense[1].b": ((3,),), "f.dense_2.W": ((3, n),), "f.dense_2.b": ((n,),), "hyper": {"n": n}}
          for b, m, n in [((4,), 2, 3), ((), 1, 2), ((2, 3), 4, 1)]]),
    Case("rmsnorm", "f = rmsnorm()\ny = f(x)",
         lambda t: F.rms_norm(t["x"], t["x"].shape[-1:], t["f.g"], 1e-5),
         [{"x": (s,), "f.g": (s[-1:],)} for s in [(3, 4), (7,), (2, 3, 5)]]),
    Case("layernorm", "f = layernorm()\ny = f(x)",
         lambda t: F.layer_norm(t["x"], t["x"].shape[-1:], t["f.g"], t["f.b"], 1e-5),
         [{"x": (s,), "f.g": (s[-1:],), "f.b": (s[-1:],)} for s in [(3, 4), (7,), (2, 3, 5)]]),
    batchnormed("batchnorm", [(3, 2, 4, 5), (2, 1, 1, 3), (5, 4, 1, 1)]),
    batchnormed("batchnorm_1d", [(3, 2), (6, 1), (4, 7)]),
    Case("groupnorm", "f = groupnorm({g})\ny = f(x)",
         lambda t, g: F.group_norm(t["x"], g, t["f.g"], t["f.b"], 1e-5),
         [{"x": ((b, c, h, w),), "f.g": ((c,),), "f.b": ((c,),), "hyper": {"g": g}}
          for b, c, h, w, g in [(2, 4, 3, 3, 2), (1, 3, 2, 5, 3), (3, 6, 1, 4, 1)]]),
    Case("residual", "f = residual(dense({n}, tanh) as g)\ny = f(x)",
         lambda t, n: t["x"] + torch.tanh(F.linear(t["x"], t["g.W"].T, t["g.b"])),
         [{"x": ((b, n),), "g.W": ((n, n),), "g.b": ((n,),), "hyper": {"n": n}} for b, n in [(3, 4), (1, 2), (5, 1)]]),
    Case("maxout", "f = maxout({m}, k = {k})\ny = f(x)",
         lambda t, m, k: (t["x"] @ t["f.W"] + t["f.b"]).reshape(*t["x"].shape[:-1], m, k).amax(-1),
         [{"x": (b + (n,),), "f.W": ((n, m * k),), "f.b": ((m * k,),), "hyper": {"m": m, "k": k}}
          for b, n, m, k in [((3,), 4, 2, 3), ((), 2, 3, 2), ((2, 2), 1, 1, 4)]]),
]


def conv(name, hyper, shapes, **torch_options):
    """conv with W[c, n / groups, kh, kw]; shapes are (x, (c, kh, kw))."""
    groups = torch_options.get("groups", 1)
    tensors = [{"x": (x,), "f.W": ((c, x[1] // groups, kh, kw),), "f.b": ((c,),), "hyper": {"c": c, "kh": kh, "kw": kw}}
               for x, (c, kh, kw) in shapes]
    return Case(name, "f = conv({c}, [{kh}, {kw}]" + hyper + ")\ny = f(x)",
                lambda t, c, kh, kw: F.conv2d(t["x"], t["f.W"], t["f.b"], **torch_options), tensors)


SAME = [((2, 1, 5, 4), (3, 3, 3)), ((1, 3, 1, 7), (2, 3, 3)), ((3, 2, 6, 6), (1, 3, 3))]
IN_FOURS = [((1, 4, 5, 5), (4, 3, 3)), ((2, 4, 4, 3), (8, 3, 2)), ((1, 8, 3, 6), (4, 1, 3))]
CONVOLUTIONS = [
    conv("conv", "", SAME, padding=1),
    conv("conv in steps", ", stride = [2, 1]", SAME, stride=(2, 1), padding=1),
    conv("conv spread", ", dilation = 2", SAME, dilation=2, padding=2),
    conv("conv in groups", ", groups = 2, padding = 1, stride = 2", IN_FOURS, groups=2, padding=1, stride=2),
    conv("conv of even k", ", padding = 0", [((2, 2, 5, 4), (3, 2, 4)), ((1, 1, 2, 4), (1, 2, 2)), ((2, 3, 4, 6), (2, 4, 2))]),
    Case("depthwise", "f = depthwise(3, m = {m})\ny = f(x)",
         lambda t, m: F.conv2d(t["x"], t["f.conv.W"], t["f.conv.b"], padding=1, groups=t["x"].shape[1]),
         [{"x": (x,), "f.conv.W": ((x[1] * m, 1, 3, 3),), "f.conv.b": ((x[1] * m,),), "hyper": {"m": m}}
          for x, m in [((2, 3, 4, 5), 1), ((1, 2, 3, 3), 2), ((3, 1, 1, 6), 3)]]),
    Case("conv_transposed", "f = conv_transposed({c}, {k}, stride = {s}, padding = {p}, extra = {e})\ny = f(x)",
         lambda t, c, k, s, p, e: F.conv_transpose2d(t["x"], t["f.W"], t["f.b"], s, p, e),
         [{"x": (x,), "f.W": ((x[1], c, k, k),), "f.b": ((c,),), "hyper": {"c": c, "k": k, "s": s, "p": p, "e": e}}
          for x, c, k, s, p, e in [((2, 3, 4, 5), 2, 3, 1, 0, 0), ((1, 2, 3, 3), 3, 3, 2, 1, 1), ((1, 1, 2, 4), 1, 4, 3, 2, 0)]]),
    Case("conv_1d", "f = conv_1d({c}, {k}, stride = {s}, dilation = {d}, padding = {p}, groups = {g})\ny = f(x)",
         lambda t, c, k, s, d, p, g: F.conv1d(t["x"], t["f.W"], t["f.b"], s, p, d, g),
         [{"x": (x,), "f.W": ((c, x[1] // g, k),), "f.b": ((c,),), "hyper": {"c": c, "k": k, "s": s, "d": d, "p": p, "g": g}}
          for x, c, k, s, d, p, g in [((2, 3, 8), 2, 3, 1, 1, 1, 1), ((1, 4, 9), 6, 2, 2, 3, 0, 2), ((3, 1, 5), 1, 5, 1, 1, 4, 1)]]),
    Case("max_pool", "f = max_pool({k}, stride = {s}, padding = {p})\ny = f(x)",
         lambda t, k, s, p: F.max_pool2d(t["x"], k, s, p),
         [{"x": (x,), "hyper": {"k": k, "s": s, "p": p}}
          for x, k, s, p in [((2, 3, 4, 6), 2, 2, 0), ((1, 2, 5, 5), 3, 2, 1), ((3, 1, 7, 3), 3, 1, 0)]]),
    Case("avg_pool", "f = avg_pool({k}, stride = {s}, padding = {p})\ny = f(x)",
         lambda t, k, s, p: F.avg_pool2d(t["x"], k, s, p),
         [{"x": (x,), "hyper": {"k": k, "s": s, "p": p}}
          for x, k, s, p in [((2, 3, 4, 6), 2, 2, 0), ((1, 2, 5, 5), 3, 2, 1), ((3, 1, 7, 3), 3, 1, 0)]]),
    Case("global_pool", "f = global_pool()\ny = f(x)", lambda t: t["x"].mean((2, 3)),
         [{"x": (x,)} for x in [(2, 3, 4, 6), (1, 1, 1, 1), (3, 2, 7, 1)]]),
]


def recurrent(name, gates, run, biases):
    """`run(x, h, weights)` on PyTorch's weights, [gates H, n], [gates H, H] and two biases."""
    def torch_function(t, H):
        h = torch.zeros(1, t["x"].shape[0], H)
        return run(t["x"], h, biases(t, H))
    tensors = []
    for (b, time, n), H in [((2, 4, 3), 5), ((1, 1, 2), 1), ((3, 6, 1), 4)]:
        shapes = {"x": ((b, time, n),), "f.W": ((n, gates * H),), "f.U": ((H, gates * H),), "f.b": ((gates * H,),)}
        if name == "gru":
            shapes["f.c"] = ((H,),)
        tensors.append({**shapes, "hyper": {"H": H}})
    return Case(name, "f = " + name + "({H})\ny = f(x)", torch_function, tensors)


def rnn_weights(t, H):
    return [t["f.W"].T, t["f.U"].T, t["f.b"], torch.zeros(H)]


def lstm_weights(t, H):
    """PyTorch has i, f, g, o; ours is i, f, o, g, and f begins at 1."""
    def order(w):
        i, f, o, g = w.split(H, -1)
        return torch.cat([i, f, g, o], -1)
    start = torch.zeros(4 * H)
    start[H:2 * H] = 1
    return [order(t["f.W"]).T, order(t["f.U"]).T, order(t["f.b"]), start]


def gru_weights(t, H):
    return [t["f.W"].T, t["f.U"].T, t["f.b"], torch.cat([torch.zeros(2 * H), t["f.c"]])]


OPTIONS = (True, 1, 0.0, True, False, True)  # biases, one layer, no dropout, training, one direction, batch first
RECURRENT = [
    recurrent("rnn", 1, lambda x, h, w: torch._VF.rnn_tanh(x, h, w, *OPTIONS)[0], rnn_weights),
    recurrent("lstm", 4, lambda x, h, w: torch._VF.lstm(x, (h, h), w, *OPTIONS)[0], lstm_weights),
    recurrent("gru", 3, lambda x, h, w: torch._VF.gru(x, h, w, *OPTIONS)[0], gru_weights),
    Case("bidirectional", "f = bidirectional(rnn({H}) as a, rnn({H}) as b)\ny = f(x)", lambda t, H: both_directions(t, H),
         [{"x": ((b, time, n),), **{f"{p}.{w}": (s,) for p in "ab" for w, s in (("W", (n, H)), ("U", (H, H)), ("b", (H,)))},
           "hyper": {"H": H}} for (b, time, n), H in [((2, 4, 3), 5), ((1, 1, 2), 1), ((3, 6, 1), 4)]]),
    Case("embed", "f = embed({n}, {d})\ny = f(t)", lambda t, n, d: F.embedding(t["t"], t["f.W"]),
         [{"t": (s, n), "f.W": ((n, d),), "hyper": {"n": n, "d": d}}
          for s, n, d in [((3,), 4, 2), ((2, 5), 3, 1), ((), 7, 4)]]),
    Case("attention", "f = attention({h}, masked = {m})\ny = f(x)",
         lambda t, h, m: attended(t, h, m == "true"),
         [{"x": ((b, time, d),), "f.qkv.W": ((d, 3 * d),), "f.qkv.b": ((3 * d,),), "f.out.W": ((d, d),), "f.out.b": ((d,),),
           "hyper": {"h": h, "m": m}} for b, time, d, h, m in
          [(2, 4, 6, 3, "false"), (1, 5, 4, 2, "true"), (2, 1, 3, 1, "true")]]),
]


def both_directions(t, H):
    weights = [w for p in "ab" for w in (t[f"{p}.W"].T, t[f"{p}.U"].T, t[f"{p}.b"], torch.zeros(H))]
    return torch._VF.rnn_tanh(t["x"], torch.zeros(2, t["x"].shape[0], H), weights, True, 1, 0.0, True, True, True)[0]


def attended(t, heads, is_causal):
    b, time, d = t["x"].shape
    qkv = F.linear(t["x"], t["f.qkv.W"].T, t["f.qkv.b"]).reshape(b, time, 3, heads, d // heads).permute(2, 0, 3, 1, 4)
    with sdpa_kernel(SDPBackend.MATH):  # the others have no second derivative
        out = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], is_causal=is_causal)
    return F.linear(out.permute(0, 2, 1, 3).reshape(b, time, d), t["f.out.W"].T, t["f.out.b"])


def all_groups():
    for group, cases in [("activations", ACTIVATIONS), ("losses", LOSSES), ("layers", LAYERS),
                         ("convolutions", CONVOLUTIONS), ("recurrent", RECURRENT)]:
        yield group, [record for case in cases for record in case.records()]
