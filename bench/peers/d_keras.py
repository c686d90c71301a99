# SPDX-License-Identifier: Apache-2.0
"""Workload D in Keras (TensorFlow 2.15): the twin of bench/workload_d.c, on its data, as the course writes it.

    d_keras.py FILE [--batch N] [--steps N] [--mask] [--jit] [--steps-per-execution N] [--legacy] [--intra N] [--inter N]

FILE is what `workload_d --write FILE` wrote. Embedding (mask_zero with --mask), LSTM, Dropout 0.5, Dense with a sigmoid;
binary_crossentropy, RMSprop 0.001: the newer class or, with --legacy, the older one. `fit` over arrays in windows of steps; the first window, in which
graphs are traced and compiled, does not count. Prints one JSON object.
"""
import argparse
import json
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

WORDS, FEATURES, HIDDEN, EVAL_ROWS, WINDOWS = 20000, 256, 128, 2048, 10


def read_data(path):
    with open(path, "rb") as file:
        rows, length = np.fromfile(file, np.int32, 2)
        ids = np.fromfile(file, np.int32, rows * length).reshape(rows, length)
        labels = np.fromfile(file, np.float32, rows)
    return ids, labels


class Clock(tf.keras.callbacks.Callback):
    """Seconds of every epoch's steps, without what lies between epochs."""

    def __init__(self):
        super().__init__()
        self.windows, self.losses = [], []

    def on_epoch_begin(self, epoch, logs=None):
        self.begin = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.windows.append(time.perf_counter() - self.begin)
        self.losses.append(logs["loss"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--steps-per-execution", type=int, default=1)
    parser.add_argument("--intra", type=int, default=2)
    parser.add_argument("--inter", type=int, default=2)
    for name in ("mask", "jit", "legacy"):
        parser.add_argument("--" + name, action="store_true")
    arguments = parser.parse_args()
    tf.keras.utils.set_random_seed(7)
    tf.config.threading.set_intra_op_parallelism_threads(arguments.intra)
    tf.config.threading.set_inter_op_parallelism_threads(arguments.inter)
    ids, labels = read_data(arguments.file)
    model = tf.keras.Sequential([
        tf.keras.layers.Embedding(WORDS, FEATURES, mask_zero=arguments.mask), tf.keras.layers.LSTM(HIDDEN),
        tf.keras.layers.Dropout(0.5), tf.keras.layers.Dense(1, activation="sigmoid")])
    optimizers = tf.keras.optimizers.legacy if arguments.legacy else tf.keras.optimizers
    model.compile(loss="binary_crossentropy", optimizer=optimizers.RMSprop(0.001), metrics=["accuracy"],
                  jit_compile=arguments.jit, steps_per_execution=arguments.steps_per_execution)
    window_steps = max(arguments.steps // WINDOWS, 1)
    train_rows = len(labels) - EVAL_ROWS
    data = tf.data.Dataset.from_tensor_slices((ids[:train_rows], labels[:train_rows])).batch(
        arguments.batch, drop_remainder=True).cache().repeat().prefetch(2)
    clock = Clock()
    model.fit(data, steps_per_epoch=window_steps, epochs=WINDOWS + 1, callbacks=[clock], verbose=0)
    windows = clock.windows[1:]
    _, accuracy = model.evaluate(ids[train_rows:], labels[train_rows:], batch_size=128, verbose=0)
    rows = window_steps * arguments.batch
    print(json.dumps({
        "workload": "D", "who": "keras " + tf.__version__ + (" jit" if arguments.jit else ""), "batch": arguments.batch,
        "mask": arguments.mask, "legacy": arguments.legacy, "steps_per_execution": arguments.steps_per_execution,
        "intra": arguments.intra, "inter": arguments.inter, "examples_s": round(rows * len(windows) / sum(windows), 1),
        "best_examples_s": round(rows / min(windows), 1), "loss": round(clock.losses[-1], 4), "accuracy": round(accuracy, 4)}))


if __name__ == "__main__":
    main()
