"""One peer in one mode, measured on request: python peers.py PEER NET KIND THREADS

Writes the seconds until its first result, then, for each line of standard input that names a number of µs, the mean
time of a call in µs over at least that long. Exit status 3: the peer is not installed.
"""

import sys
import time


def torch_call(net, kind, threads, compiled):
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    layers = []
    for a, b in zip(net.widths, net.widths[1:]):
        layers += [torch.nn.Linear(a, b), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    x = torch.randn(net.batch, net.widths[0])
    y = torch.randint(0, net.widths[-1], (net.batch,))
    if kind == "infer":
        with torch.inference_mode():
            infer = torch.compile(lambda x: torch.softmax(model(x), -1)) if compiled else lambda x: torch.softmax(model(x), -1)

            @torch.inference_mode()
            def call():
                infer(x)

            return call
    if net.optimizer == "adam":
        optimizer = torch.optim.Adam(model.parameters(), lr=net.rate, fused=True)
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=net.rate, fused=True)
    loss_of = lambda: torch.nn.functional.cross_entropy(model(x), y)
    if compiled:
        loss_of = torch.compile(loss_of)

    def call():
        optimizer.zero_grad(set_to_none=True)
        loss_of().backward()
        optimizer.step()

    return call


def jax_call(net, kind, threads, loop):
    import jax
    import jax.numpy as jnp

    keys = jax.random.split(jax.random.PRNGKey(0), len(net.widths) + 1)
    params = [
        (jax.random.normal(k, (a, b)) * (2 / a) ** 0.5, jnp.zeros(b))
        for k, a, b in zip(keys, net.widths, net.widths[1:])
    ]
    x = jax.random.normal(keys[-2], (net.batch, net.widths[0]))
    y = jax.random.randint(keys[-1], (net.batch,), 0, net.widths[-1])

    def logits(params, x):
        for w, b in params[:-1]:
            x = jax.nn.relu(x @ w + b)
        return x @ params[-1][0] + params[-1][1]

    if kind == "infer":
        infer = jax.jit(lambda params, x: jax.nn.softmax(logits(params, x)))
        return lambda: infer(params, x).block_until_ready()

    def loss_of(params):
        z = logits(params, x)
        return jnp.mean(jax.nn.logsumexp(z, -1) - jnp.take_along_axis(z, y[:, None], -1)[:, 0])

    def sgd(carry):
        params, step = carry
        grads = jax.grad(loss_of)(params)
        return jax.tree.map(lambda p, g: p - net.rate * g, params, grads), step + 1

    def adam(carry):
        (params, m, v), step = carry
        grads = jax.grad(loss_of)(params)
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, grads)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, grads)
        t = step + 1.0
        move = lambda p, m, v: p - net.rate * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8)
        return (jax.tree.map(move, params, m, v), m, v), step + 1

    zeros = jax.tree.map(jnp.zeros_like, params)
    carry = ((params, zeros, jax.tree.map(jnp.zeros_like, params)) if net.optimizer == "adam" else params, 0.0)
    step = adam if net.optimizer == "adam" else sgd
    turns = 16 if loop else 1
    run = jax.jit(lambda c: jax.lax.fori_loop(0, turns, lambda _, c: step(c), c) if loop else step(c), donate_argnums=0)
    state = [carry]

    def call():
        state[0] = run(state[0])
        jax.block_until_ready(state[0])

    call.steps = turns
    return call


def onnx_call(net, kind, threads):
    import numpy
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    random = numpy.random.default_rng(0)
    nodes, weights, h = [], [], "x"
    for i, (a, b) in enumerate(zip(net.widths, net.widths[1:])):
        weights += [
            numpy_helper.from_array((random.standard_normal((a, b)) * (2 / a) ** 0.5).astype("float32"), f"W{i}"),
            numpy_helper.from_array(numpy.zeros(b, "float32"), f"b{i}"),
        ]
        nodes.append(helper.make_node("Gemm", [h, f"W{i}", f"b{i}"], [f"z{i}"]))
        h = f"z{i}"
        if i + 2 < len(net.widths):
            nodes.append(helper.make_node("Relu", [h], [f"h{i}"]))
            h = f"h{i}"
    nodes.append(helper.make_node("Softmax", [h], ["p"], axis=-1))
    tensor = lambda name, width: helper.make_tensor_value_info(name, TensorProto.FLOAT, [net.batch, width])
    graph = helper.make_graph(nodes, net.name, [tensor("x", net.widths[0])], [tensor("p", net.widths[-1])], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    x = random.standard_normal((net.batch, net.widths[0])).astype("float32")
    return lambda: session.run(None, {"x": x})


PEERS = {
    "torch": lambda *a: torch_call(*a, compiled=False),
    "torch.compile": lambda *a: torch_call(*a, compiled=True),
    "jax": lambda *a: jax_call(*a, loop=False),
    "jax.loop": lambda *a: jax_call(*a, loop=True),
    "onnxruntime": onnx_call,
}


def peers_of(kind, quick):
    """Who can be asked for a step or an inference; --quick leaves out who compiles for seconds."""
    names = ["torch", "jax", "jax.loop"] if kind == "step" else ["torch", "jax", "onnxruntime"]
    return names if quick else [*names, "torch.compile"]


def mean_time(call, span):
    """µs of one call, or step, over at least span µs."""
    calls = 1
    while True:
        begin = time.perf_counter()
        for _ in range(calls):
            call()
        took = (time.perf_counter() - begin) * 1e6
        if took >= span:
            return took / calls / getattr(call, "steps", 1)
        calls = max(calls + 1, int(calls * span * 1.1 / max(took, 1)))


def main(peer, name, kind, threads):
    from nets import NETS

    net = next(n for n in NETS if n.name == name)
    begin = time.perf_counter()
    try:
        call = PEERS[peer](net, kind, int(threads))
    except ImportError as e:
        print(e, file=sys.stderr)
        sys.exit(3)
    call()
    print(time.perf_counter() - begin, flush=True)
    for line in sys.stdin:
        print(mean_time(call, float(line)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
