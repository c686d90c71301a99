# SPDX-License-Identifier: Apache-2.0
"""Workload B in PyTorch: the twin of bench/workload_b.c, in memory.

    b_pytorch.py [--rows N] [--table N] [--steps N] [--threads N] [--skewed] [--compile] [--warm-up N]

Tuned as its users would: the 26 tables are one EmbeddingBag with sparse gradients, so that a batch is one lookup and one sparse
update; Adagrad; single precision; the batch is a slice of tensors. --compile compiles the dense part (max-autotune). Ids, numbers
and labels are drawn as bench/workload_b.c draws them (other random numbers, the same hidden model). Prints one JSON object.
"""
import argparse
import json
import math
import time

import torch

TABLES, NUMBERS, DIM, BATCH = 26, 13, 16, 2048


def make_data(rows, table, skewed):
    generator = torch.Generator().manual_seed(7)
    uniform = torch.rand(rows, TABLES, generator=generator, dtype=torch.float64)
    ids = torch.exp(uniform * math.log(table)).long() - 1 if skewed else (uniform * table).long()
    ids.clamp_(0, table - 1)
    numbers = torch.rand(rows, NUMBERS, generator=generator)
    score = -1 + (((ids[:, :6] % 7) - 3) * 0.3).sum(1) + ((numbers[:, :4] - 0.5) * 2).sum(1)
    labels = (torch.rand(rows, generator=generator) < torch.sigmoid(score)).float()
    return ids + torch.arange(TABLES) * table, numbers, labels[:, None]


class Step:
    def __init__(self, table, compiled):
        torch.manual_seed(7)
        self.bag = torch.nn.EmbeddingBag(TABLES * table, DIM, mode="sum", sparse=True)
        torch.nn.init.uniform_(self.bag.weight, -0.05, 0.05)
        widths = [TABLES * DIM + NUMBERS, 256, 128, 64, 1]
        layers = []
        for i in range(4):
            layers += [torch.nn.Linear(widths[i], widths[i + 1])] + ([torch.nn.ReLU()] if i < 3 else [])
        self.dense = torch.nn.Sequential(*layers)
        for layer in layers[::2]:
            torch.nn.init.xavier_uniform_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
        self.loss = torch.nn.BCEWithLogitsLoss()
        options = {"lr": 0.01, "initial_accumulator_value": 0.1, "eps": 1e-7}
        self.optimizers = [torch.optim.Adagrad(self.bag.parameters(), **options),
                           torch.optim.Adagrad(self.dense.parameters(), foreach=True, **options)]
        self.offsets = torch.arange(BATCH * TABLES)
        self.forward = torch.compile(self.dense, mode="max-autotune-no-cudagraphs") if compiled else self.dense

    def __call__(self, ids, numbers, labels):
        vectors = self.bag(ids.reshape(-1), self.offsets).view(BATCH, TABLES * DIM)
        loss = self.loss(self.forward(torch.cat([vectors, numbers], 1)), labels)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
        return loss


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=400 * BATCH)
    parser.add_argument("--table", type=int, default=1000000)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--warm-up", type=int, default=20)
    parser.add_argument("--skewed", action="store_true")
    parser.add_argument("--compile", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    ids, numbers, labels = make_data(arguments.rows, arguments.table, arguments.skewed)
    step = Step(arguments.table, arguments.compile)
    batches = arguments.rows // BATCH
    best, least, losses = 0.0, 1e9, []
    for number in range(arguments.warm_up + arguments.steps):
        if number == arguments.warm_up:
            start = window = time.perf_counter()
        begin = time.perf_counter()
        rows = slice(number % batches * BATCH, (number % batches + 1) * BATCH)
        losses.append(step(ids[rows], numbers[rows], labels[rows]).item())
        end = time.perf_counter()
        least = min(least, end - begin)
        done = number - arguments.warm_up + 1
        if done > 0 and done % 20 == 0:
            best = max(best, 20 * BATCH / (end - window))
            window = end
    print(json.dumps({
        "workload": "B", "who": "pytorch " + torch.__version__.split("+")[0] + (" compiled" if arguments.compile else ""),
        "skewed": arguments.skewed, "table": arguments.table, "threads": arguments.threads,
        "examples_s": round(arguments.steps * BATCH / (end - start)), "best_examples_s": round(best),
        "least_step_ms": round(1e3 * least, 3), "loss": round(sum(losses[-20:]) / 20, 5)}))


if __name__ == "__main__":
    main()
