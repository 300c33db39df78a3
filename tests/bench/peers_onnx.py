"""ONNX Runtime's inferences: PyTorch's models, exported."""

import logging
import tempfile
import warnings

import onnxruntime
import torch

import peers_torch


class Output(torch.nn.Module):
    def __init__(self, net, model):
        super().__init__()
        self.model = model
        self.output = peers_torch.output_function(net, model)

    def forward(self, x):
        return self.output(x)


def call_of(net, kind, threads):
    logging.disable(logging.WARNING)  # the exporter's, of what it does not need
    warnings.simplefilter("ignore")
    model = peers_torch.MODELS[net.build](net).eval()
    inputs, _ = peers_torch.inputs_of(net)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/{net.name}.onnx"
        torch.onnx.export(Output(net, model).eval(), inputs, path, dynamo=True, verbose=False)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {i.name: x.numpy() for i, x in zip(session.get_inputs(), inputs)}
    return lambda: session.run(None, feed)
