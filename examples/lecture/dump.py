"""What mlpc's dumps say: the graphs of a program, how many ops a run of them takes, how many paths lead through them."""

import re
from collections import defaultdict
from dataclasses import dataclass, field

from tool import call


@dataclass
class Graph:
    parameters: list = field(default_factory=list)  # (value, role, name)
    nodes: list = field(default_factory=list)  # (results, op, operands, attributes)
    returns: list = field(default_factory=list)  # (role, name, value)


VALUE = r"%[\w.\[\]]+"
PARAMETER = re.compile(rf'\s+({VALUE}) = parameter (\w+) \d+ "([^"]*)"')
RETURN = re.compile(rf'\s+return (\w+) \d+ "([^"]*)" ({VALUE})')
NODE = re.compile(rf'\s+({VALUE}(?:, {VALUE})*) = (\w+)(?: "[^"]*")?\(([^)]*)\)')
ATTRIBUTE = re.compile(r"(\w+)=(\[[^\]]*\]|[^,\s]+)")


def graphs_of(net, stage):
    """Graphs by name; `stage` as --emit has it: graph, linear, jacobian, joint."""
    return graphs_in(call(net.path, *net.words, f"--emit={stage}"))


def graphs_in(text):
    out, graph = {}, None
    for line in text.splitlines():
        if head := re.match(r"graph ([\w.]+) \{", line):
            graph = out[head[1]] = Graph()
        elif found := PARAMETER.match(line):
            graph.parameters.append(found.groups())
        elif found := RETURN.match(line):
            graph.returns.append(found.groups())
        elif found := NODE.match(line):
            operands, _, attributes = found[3].partition(";")
            results = found[1].split(", ")
            graph.nodes.append((results, found[2], re.findall(VALUE, operands), dict(ATTRIBUTE.findall(attributes))))
    return out


def _turns(attributes):
    return int(attributes["length"].strip("[]"))


def size_of(graphs, name):
    """Ops that a run of this graph executes: those of a loop's body count once a turn."""
    size = 0
    for _, op, _, attributes in graphs[name].nodes:
        size += _turns(attributes) * size_of(graphs, attributes["body"]) if op == "scan" else 1
    return size


def paths_between(graphs, name, source, result):
    """How many ways lead from the parameter `source` to the returned value `result`, operand by operand."""
    graph = graphs[name]
    reached = _paths(graphs, graph, [int(parameter[2] == source) for parameter in graph.parameters])
    (count,) = {reached[value] for _, name, value in graph.returns if name == result}
    return count


def _paths(graphs, graph, at_parameters):
    reached = defaultdict(int, zip((parameter[0] for parameter in graph.parameters), at_parameters))
    for results, op, operands, attributes in graph.nodes:
        into = [reached[operand] for operand in operands]
        if op == "scan":
            reached.update(zip(results, _paths_of_loop(graphs, attributes, into)))
        else:
            reached.update(dict.fromkeys(results, sum(into)))
    return reached


def _paths_of_loop(graphs, attributes, into):
    """Of a scan's results: the turns' graph, written out turn after turn."""
    body, consts, loops = graphs[attributes["body"]], int(attributes["consts"]), int(attributes["loops"])
    handed_on, stacked = into[consts : consts + loops], None
    for _ in range(_turns(attributes)):
        reached = _paths(graphs, body, [0, *into[:consts], *handed_on, *into[consts + loops :]])
        handed_on = [reached[value] for role, _, value in body.returns if role == "loop"]
        elements = [reached[value] for role, _, value in body.returns if role == "stacked"]
        stacked = elements if stacked is None else [a + b for a, b in zip(stacked, elements)]
    return handed_on + (stacked or [])
