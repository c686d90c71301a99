# SPDX-License-Identifier: Apache-2.0
"""Workload D in PyTorch: the twin of bench/workload_d.c, on its data.

    d_pytorch.py FILE [--batch N] [--steps N] [--mask] [--threads N] [--time-first] [--compile] [--sparse] [--warm-up N]

FILE is what `workload_d --write FILE` wrote. Embedding (dense gradient), nn.LSTM (oneDNN), dropout 0.5, a linear layer on the last
output; binary cross-entropy with logits, RMSprop 0.001 (alpha 0.9, foreach). --mask: the zeros in front are left out by
pack_padded_sequence over the texts without them. --sparse: a sparse gradient, and SGD on the table, since RMSprop takes none:
another algorithm. The loss is read at the end alone. nn.LSTM has two biases where Keras's layer has one. Prints one JSON object.
"""
import argparse
import json
import time

import numpy as np
import torch

WORDS, FEATURES, HIDDEN, EVAL_ROWS, WINDOWS = 20000, 256, 128, 2048, 10


def read_data(path):
    with open(path, "rb") as file:
        rows, length = np.fromfile(file, np.int32, 2)
        ids = np.fromfile(file, np.int32, rows * length).reshape(rows, length)
        labels = np.fromfile(file, np.float32, rows)
    return ids, labels


class Model(torch.nn.Module):
    def __init__(self, arguments):
        super().__init__()
        self.time_first, self.mask = arguments.time_first, arguments.mask
        self.embedding = torch.nn.Embedding(WORDS, FEATURES, sparse=arguments.sparse)
        torch.nn.init.uniform_(self.embedding.weight, -0.05, 0.05)
        self.lstm = torch.nn.LSTM(FEATURES, HIDDEN, batch_first=not self.time_first)
        self.dropout = torch.nn.Dropout(0.5)
        self.out = torch.nn.Linear(HIDDEN, 1)

    def forward(self, ids, lengths):
        if self.mask:
            packed = torch.nn.utils.rnn.pack_padded_sequence(self.embedding(ids), lengths, batch_first=not self.time_first,
                                                             enforce_sorted=False)
            last = self.lstm(packed)[1][0][0]
        else:
            outputs, _ = self.lstm(self.embedding(ids))
            last = outputs[-1] if self.time_first else outputs[:, -1]
        return self.out(self.dropout(last))[:, 0]


def prepare(arguments):
    """Ids (texts first where zeros are left out, time first where asked for), lengths and labels, as tensors."""
    ids, labels = read_data(arguments.file)
    lengths = (ids != 0).sum(1)
    if arguments.mask:
        ids = np.stack([np.roll(row, length) for row, length in zip(ids, lengths)])
    return torch.from_numpy(ids.astype(np.int64)), torch.from_numpy(lengths.astype(np.int64)), torch.from_numpy(labels)


def cut(data, rows, time_first):
    ids, lengths, labels = (part[rows] for part in data)
    return (ids.t().contiguous() if time_first else ids), lengths, labels


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--warm-up", type=int, default=5)
    for name in ("mask", "time-first", "compile", "sparse"):
        parser.add_argument("--" + name, action="store_true")
    arguments = parser.parse_args()
    torch.manual_seed(7)
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    data = prepare(arguments)
    train_rows = len(data[2]) - EVAL_ROWS
    batches = [cut(data, slice(b, b + arguments.batch), arguments.time_first)
               for b in range(0, train_rows - arguments.batch + 1, arguments.batch)]
    model = Model(arguments)
    step_model = torch.compile(model) if arguments.compile else model
    dense = [p for name, p in model.named_parameters() if not (arguments.sparse and name.startswith("embedding"))]
    optimizers = [torch.optim.RMSprop(dense, lr=0.001, alpha=0.9, eps=1e-7, foreach=True)]
    if arguments.sparse:
        optimizers.append(torch.optim.SGD(model.embedding.parameters(), lr=0.001))
    cross_entropy = torch.nn.BCEWithLogitsLoss()
    window_steps, best, total = max(arguments.steps // WINDOWS, 1), 0.0, torch.zeros(())
    for number in range(-arguments.warm_up, arguments.steps):
        if number == 0:
            start = window = time.perf_counter()
        ids, lengths, labels = batches[(number + arguments.warm_up) % len(batches)]
        loss = cross_entropy(step_model(ids, lengths), labels)
        model.zero_grad(set_to_none=True)
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        if number >= arguments.steps - window_steps:
            total += loss.detach()
        if number >= 0 and (number + 1) % window_steps == 0:
            end = time.perf_counter()
            best = max(best, window_steps * arguments.batch / (end - window))
            window = end
    model.eval()
    with torch.no_grad():
        ids, lengths, labels = cut(data, slice(train_rows, None), arguments.time_first)
        right = ((model(ids, lengths) > 0) == (labels > 0)).float().mean().item()
    print(json.dumps({
        "workload": "D", "who": "pytorch " + torch.__version__.split("+")[0] + (" sparse" if arguments.sparse else ""),
        "batch": arguments.batch, "mask": arguments.mask, "threads": arguments.threads, "time_first": arguments.time_first,
        "compile": arguments.compile, "examples_s": round(arguments.steps * arguments.batch / (end - start), 1),
        "best_examples_s": round(best, 1), "loss": round(total.item() / window_steps, 4), "accuracy": round(right, 4)}))


if __name__ == "__main__":
    main()
