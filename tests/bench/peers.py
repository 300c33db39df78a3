"""One peer in one mode, measured on request: python peers.py PEER NET KIND THREADS

Writes the seconds until its first result, then, for each line of standard input that names a number of µs, the mean
time of a call in µs over at least that long. Exit status 3: the peer is not installed.
"""

import importlib
import sys
import time

# A module, and what its call_of takes besides net, kind and threads.
PEERS = {
    "torch": ("peers_torch", {"compiled": False}),
    "torch.compile": ("peers_torch", {"compiled": True}),
    "jax": ("peers_jax", {"loop": False}),
    "jax.loop": ("peers_jax", {"loop": True}),
    "onnxruntime": ("peers_onnx", {}),
}
ONLY = {"jax.loop": "step", "onnxruntime": "infer"}


def peers_of(net, kind, quick):
    """Who is asked for a step or an inference of a net; quick leaves out who compiles for seconds."""
    return [p for p in net.peers if ONLY.get(p, kind) == kind and not (quick and p == "torch.compile")]


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
    module, more = PEERS[peer]
    try:
        call_of = importlib.import_module(module).call_of
    except ImportError as e:
        print(e, file=sys.stderr)
        sys.exit(3)
    call = call_of(net, kind, int(threads), **more)
    call()
    print(time.perf_counter() - begin, flush=True)
    for line in sys.stdin:
        print(mean_time(call, float(line)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
