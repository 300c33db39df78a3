"""JAX's steps and inferences: a jitted step, or a jitted loop of steps, its best case."""

import jax
import jax.numpy as jnp

TURNS = 16  # of the loop


def normal(shape, scale=1.0, seed=[0]):
    seed[0] += 1
    return scale * jax.random.normal(jax.random.PRNGKey(seed[0]), shape)


def dense_layers(widths):
    return [(normal((a, b), (2 / a) ** 0.5), jnp.zeros(b)) for a, b in zip(widths, widths[1:])]


def through(params, x, activation):
    for w, b in params[:-1]:
        x = activation(x @ w + b)
    return x @ params[-1][0] + params[-1][1]


def mlp(net):
    x = normal((net.batch, net.sizes[0]))
    y = jax.random.randint(jax.random.PRNGKey(0), (net.batch,), 0, net.sizes[-1])

    def loss(params):
        z = through(params, x, jax.nn.relu)
        return jnp.mean(jax.nn.logsumexp(z, -1) - jnp.take_along_axis(z, y[:, None], -1)[:, 0])

    return dense_layers(net.sizes), loss, lambda params, x: jax.nn.softmax(through(params, x, jax.nn.relu)), (x,)


def heat_pinn(net):
    n, m = net.dims
    x, t, x0, u0 = normal((n,)), normal((n,)), normal((m,)), normal((m,))
    u = lambda params, x, t: through(params, jnp.stack([x, t], -1), jnp.tanh)[:, 0]

    def loss(params):
        total = lambda x, t: jnp.sum(u(params, x, t))
        u_x = jax.grad(total, 0)
        u_t = jax.grad(total, 1)(x, t)
        u_xx = jax.grad(lambda x: jnp.sum(u_x(x, t)))(x)
        return jnp.mean((u_t - 0.1 * u_xx) ** 2) + jnp.mean((u(params, x0, 0 * x0) - u0) ** 2)

    return dense_layers((2, 32, 32, 1)), loss, u, (x, t)


def resnet500(net):
    """As a scan, which is faster than unrolled here, and compiles in a tenth of the time."""
    x, y = normal((net.batch, 32)), normal((net.batch, 32))
    forward = lambda w, x: jax.lax.scan(lambda h, w: (h + 0.1 * jax.nn.relu(h @ w), None), x, w)[0]
    return normal((500, 32, 32), 0.25), lambda w: jnp.mean((forward(w, x) - y) ** 2), forward, (x,)


BUILD = {"mlp": mlp, "heat_pinn": heat_pinn, "resnet500": resnet500}


def call_of(net, kind, threads, loop):
    if net.double:
        jax.config.update("jax_enable_x64", True)
    params, loss_of, output, inputs = BUILD[net.build](net)
    if kind == "infer":
        infer = jax.jit(output)
        return lambda: infer(params, *inputs).block_until_ready()

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

    zeros = lambda: jax.tree.map(jnp.zeros_like, params)
    carry = ((params, zeros(), zeros()) if net.optimizer == "adam" else params, 0.0)
    step = adam if net.optimizer == "adam" else sgd
    turns = TURNS if loop else 1
    run = jax.jit(lambda c: jax.lax.fori_loop(0, turns, lambda _, c: step(c), c) if loop else step(c), donate_argnums=0)
    state = [carry]

    def call():
        state[0] = run(state[0])
        jax.block_until_ready(state[0])

    call.steps = turns
    return call
