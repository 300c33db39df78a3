"""Optimizers, clipping and schedules: parameters after each of several steps with given gradients."""
import math

import torch

from cases import extents, flat, hash_of, some

torch.set_default_dtype(torch.float64)
SHAPES = [(3, 4), (5,), ()]
STEPS = 6


class Lion(torch.optim.Optimizer):
    """Chen et al., Symbolic Discovery of Optimization Algorithms (2023), algorithm 2; PyTorch has none."""

    def __init__(self, params, lr, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in group["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                update = torch.sign(b1 * m + (1 - b1) * p.grad) + group["weight_decay"] * p
                p -= group["lr"] * update
                m.mul_(b2).add_((1 - b2) * p.grad)


def record(name, net, make, clip=None, schedule=None, epoch_of=lambda step: 0, steps=STEPS):
    """`clip` acts on the parameters' gradients before each step; `schedule` makes a scheduler of the optimizer."""
    generator = torch.Generator().manual_seed(hash_of(name))
    params = [torch.nn.Parameter(some(generator, s)) for s in SHAPES]
    optimizer = make(params)
    scheduler = schedule(optimizer) if schedule else None
    start = [flat(p) for p in params]
    gradients, expected = [], []
    for step in range(steps):
        for p in params:
            p.grad = some(generator, p.shape)
        gradients.append([flat(p.grad) for p in params])
        if clip:
            clip(params)
        optimizer.step()
        expected.append([flat(p) for p in params])
        if scheduler and (step + 1 == steps or epoch_of(step + 1) != epoch_of(step)):
            scheduler.step()
    declarations = "".join(f"  param p{i}{extents(s)} = 0\n" for i, s in enumerate(SHAPES))
    total = " + ".join(f"sum(p{i})" for i in range(len(SHAPES)))
    source = f"model m : f64 {{\n{declarations}  loss l = {total}\n  train {{ {net} }}\n}}\n"
    return {"name": name, "source": source, "start": start, "gradients": gradients, "expected": expected,
            "epochs": [epoch_of(s) for s in range(steps)], "steps": steps}


def of(net, make):
    return record(net, f"optimizer = {net}", make)


def scheduled(net, schedule, epoch_of=lambda step: step, steps=STEPS, lr=0.5):
    """A scheduler that steps whenever `epoch_of` changes, on plain gradient descent."""
    return record(net, f"optimizer = sgd(lr = {net})", lambda p: torch.optim.SGD(p, lr=lr), schedule=schedule,
                  epoch_of=epoch_of, steps=steps)


def by_step(net, factor, steps=STEPS, epoch_of=lambda step: 0):
    """A schedule that depends on the step; the factor is of lr = 0.5."""
    generator_name = net
    out = record(generator_name, f"optimizer = sgd(lr = {net})", lambda p: torch.optim.SGD(p, lr=0.5),
                 schedule=lambda o: torch.optim.lr_scheduler.LambdaLR(o, factor), epoch_of=lambda s: s, steps=steps)
    out["epochs"] = [epoch_of(s) for s in range(steps)]
    return out


def schedules():
    lr = torch.optim.lr_scheduler
    yield scheduled("step(0.5, every = 2, by = 0.3)", lambda o: lr.StepLR(o, 2, 0.3))
    yield scheduled("exponential(0.5, by = 0.8)", lambda o: lr.ExponentialLR(o, 0.8))
    yield by_step("constant(0.5)", lambda s: 1.0)
    yield by_step("constant(0.5, warmup = 4)", lambda s: min(1.0, (s + 1) / 4))
    yield by_step("step(0.5, every = 2, by = 0.3, warmup = 3)",
                  lambda s: min(1.0, (s + 1) / 3) * 0.3 ** (s // 2), epoch_of=lambda s: s)
    yield by_step("exponential(0.5, by = 0.8, warmup = 3)",
                  lambda s: min(1.0, (s + 1) / 3) * 0.8 ** s, epoch_of=lambda s: s)
    out = scheduled("cosine(0.5)", lambda o: lr.CosineAnnealingLR(o, STEPS))
    out["epochs"] = [0] * STEPS
    yield out
    yield by_step("cosine(0.5, warmup = 3)",
                  lambda s: (s + 1) / 3 if s < 3 else 0.5 * (1 + math.cos(math.pi * (s - 3) / (10 - 3))), steps=10)
    yield scheduled("one_cycle(0.5)", lambda o: lr.OneCycleLR(o, 0.5, total_steps=12, cycle_momentum=False),
                    steps=12) | {"epochs": [0] * 12}
    yield scheduled("one_cycle(0.5, warm = 0.5, div = 10, final_div = 100)",
                    lambda o: lr.OneCycleLR(o, 0.5, total_steps=8, pct_start=0.5, div_factor=10, final_div_factor=100,
                                            cycle_momentum=False), steps=8) | {"epochs": [0] * 8}


def all_records():
    opt = torch.optim
    yield of("sgd(lr = 0.1)", lambda p: opt.SGD(p, lr=0.1))
    yield of("sgd(lr = 0.1, wd = 0.02)", lambda p: opt.SGD(p, lr=0.1, weight_decay=0.02))
    yield of("sgd(lr = 0.1, momentum = 0.9, wd = 0.01)",
             lambda p: opt.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01))
    yield of("sgd(lr = 0.1, momentum = 0.8, nesterov = true)",
             lambda p: opt.SGD(p, lr=0.1, momentum=0.8, nesterov=True))
    yield of("adagrad()", lambda p: opt.Adagrad(p))
    yield of("adagrad(lr = 0.2, wd = 0.1)", lambda p: opt.Adagrad(p, lr=0.2, weight_decay=0.1))
    yield of("rmsprop()", lambda p: opt.RMSprop(p))
    yield of("rmsprop(lr = 0.05, rho = 0.9, momentum = 0.5, wd = 0.1)",
             lambda p: opt.RMSprop(p, lr=0.05, alpha=0.9, momentum=0.5, weight_decay=0.1))
    yield of("adam()", lambda p: opt.Adam(p))
    yield of("adam(lr = 0.1, beta1 = 0.8, beta2 = 0.95, wd = 0.1)",
             lambda p: opt.Adam(p, lr=0.1, betas=(0.8, 0.95), weight_decay=0.1))
    yield of("adamw()", lambda p: opt.AdamW(p))
    yield of("adamw(lr = 0.1, wd = 0.2)", lambda p: opt.AdamW(p, lr=0.1, weight_decay=0.2))
    yield of("lion()", lambda p: Lion(p, lr=1e-4))
    yield of("lion(lr = 0.01, beta1 = 0.8, beta2 = 0.9, wd = 0.1)",
             lambda p: Lion(p, lr=0.01, betas=(0.8, 0.9), weight_decay=0.1))
    for limit in (1.5, 100.0):
        yield record(f"clip by norm {limit}", f"optimizer = sgd(lr = 0.1); clip = norm({limit})",
                     lambda p: opt.SGD(p, lr=0.1), clip=lambda p: torch.nn.utils.clip_grad_norm_(p, limit))
    yield record("clip by value", "optimizer = sgd(lr = 0.1); clip = value(0.7)", lambda p: opt.SGD(p, lr=0.1),
                 clip=lambda p: torch.nn.utils.clip_grad_value_(p, 0.7))
    yield from schedules()
