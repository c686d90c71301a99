# SPDX-License-Identifier: Apache-2.0
"""Workload C in PyTorch: the twin of bench/workload_c.c, in memory.

    c_pytorch.py [--size 0..2] [--steps N] [--threads N] [--batch-first] [--warm-up N]

nn.LSTM and a linear layer on its last output, mean squared error, SGD 0.01, single precision; batches are slices of one tensor,
the loss is read at the end alone. Of both layouts and of one or two threads the best on the machine of bench/README.md is the
default. nn.LSTM has two biases where TensorFlow's cell has one, and no forget bias: the same work. Prints one JSON object.
"""
import argparse
import json
import math
import time

import torch

SIZES = [(9, 3, 20, 6000), (20, 32, 64, 600), (50, 128, 64, 60)]  # seq, hidden, batch, steps
POOL = 64


def make_data(seq, batch):
    generator = torch.Generator().manual_seed(7)
    start = torch.rand(POOL * batch, 1, generator=generator) * 6.28
    pace = 0.2 + torch.rand(POOL * batch, 1, generator=generator)
    series = torch.sin(start + pace * torch.arange(seq + 1))
    return series[:, :seq, None].contiguous(), series[:, seq:].contiguous()


class Model(torch.nn.Module):
    def __init__(self, hidden, time_first):
        super().__init__()
        self.time_first = time_first
        self.lstm = torch.nn.LSTM(1, hidden, batch_first=not time_first)
        self.out = torch.nn.Linear(hidden, 1)

    def forward(self, x):
        outputs, _ = self.lstm(x)
        return self.out(outputs[-1] if self.time_first else outputs[:, -1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=0)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--warm-up", type=int, default=20)
    parser.add_argument("--batch-first", action="store_true")
    arguments = parser.parse_args()
    seq, hidden, batch, steps = SIZES[arguments.size]
    steps = arguments.steps or steps
    time_first = not arguments.batch_first
    threads = arguments.threads or (1 if arguments.size == 0 else 2)
    torch.manual_seed(7)
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    x, y = make_data(seq, batch)
    batches = [(x[b * batch:(b + 1) * batch], y[b * batch:(b + 1) * batch]) for b in range(POOL)]
    if time_first:
        batches = [(a.transpose(0, 1).contiguous(), b) for a, b in batches]
    model = Model(hidden, time_first)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    mean_squared_error = torch.nn.MSELoss()
    window_steps = max(steps // 20, 1)
    best = 0.0
    total = torch.zeros(())
    for number in range(arguments.warm_up + steps):
        if number == arguments.warm_up:
            start = window = time.perf_counter()
        inputs, target = batches[number % POOL]
        loss = mean_squared_error(model(inputs), target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        done = number - arguments.warm_up + 1
        if done > steps - window_steps:
            total += loss.detach()
        if done > 0 and done % window_steps == 0:
            end = time.perf_counter()
            best = max(best, window_steps * batch / (end - window))
            window = end
    assert math.isfinite(total.item())
    print(json.dumps({
        "workload": "C", "who": "pytorch " + torch.__version__.split("+")[0], "seq": seq, "hidden": hidden, "batch": batch,
        "threads": threads, "time_first": time_first, "examples_s": round(steps * batch / (end - start)),
        "best_examples_s": round(best), "loss": round(total.item() / window_steps, 5)}))


if __name__ == "__main__":
    main()
