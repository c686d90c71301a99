# SPDX-License-Identifier: Apache-2.0
"""Workload C in TensorFlow's Estimator (2.15, the last that has it): the twin of bench/workload_c.c, as the course writes it.

    c_tensorflow.py [--size 0..2] [--steps N] [--loop] [--xla] [--intra N] [--inter N] [--warm-up N]

split, BasicLSTMCell, static_rnn, the last output to one unit; mean squared error, SGD 0.01; numpy_input_fn over the series in
memory, no summaries, no log lines, a checkpoint at the start and at the end. --loop leaves the Estimator out: a session that is
fed batch by batch; --xla compiles its step. Steps before --warm-up do not count. Prints one JSON object.
"""
import argparse
import json
import os
import shutil
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

v1 = tf.compat.v1
v1.logging.set_verbosity(v1.logging.ERROR)

SIZES = [(9, 3, 20, 4000), (20, 32, 64, 400), (50, 128, 64, 40)]  # seq, hidden, batch, steps
POOL = 64


def make_data(seq, batch):
    generator = np.random.RandomState(7)
    start = generator.rand(POOL * batch, 1) * 6.28
    pace = 0.2 + generator.rand(POOL * batch, 1)
    series = np.sin(start + pace * np.arange(seq + 1)).astype("float32")
    return series[:, :seq], series[:, seq:]


def predict(series, seq, hidden):
    steps = tf.split(series, seq, 1)
    cell = v1.nn.rnn_cell.BasicLSTMCell(hidden, forget_bias=1.0)
    outputs, _ = v1.nn.static_rnn(cell, steps, dtype=tf.float32)
    weight = v1.get_variable("weight", [hidden, 1], initializer=v1.random_normal_initializer())
    bias = v1.get_variable("bias", [1], initializer=v1.zeros_initializer())
    return tf.matmul(outputs[-1], weight) + bias


def training(series, target, seq, hidden):
    loss = v1.losses.mean_squared_error(target, predict(series, seq, hidden))
    optimizer = v1.train.GradientDescentOptimizer(0.01)
    return loss, optimizer.minimize(loss, global_step=v1.train.get_or_create_global_step())


class Clock(v1.train.SessionRunHook):
    """The rate of the steps behind the warm-up, and of the best window among them."""

    def __init__(self, warm_up, steps, batch):
        self.warm_up, self.steps, self.batch = warm_up, steps, batch
        self.window_steps = max(steps // 20, 1)
        self.done = -warm_up
        self.best = 0.0
        self.start = self.window = self.last = time.perf_counter()

    def after_run(self, run_context, run_values):
        self.done += 1
        if self.done == 0:
            self.start = self.window = time.perf_counter()
        elif self.done > 0 and self.done % self.window_steps == 0:
            self.last = time.perf_counter()
            self.best = max(self.best, self.window_steps * self.batch / (self.last - self.window))
            self.window = self.last


def run_estimator(arguments, data, size, clock, session):
    seq, hidden, batch, _ = size
    folder = tempfile.mkdtemp()

    def model_fn(features, labels, mode):
        loss, train_op = training(features["rawdata"], labels, seq, hidden)
        return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)

    config = tf.estimator.RunConfig(model_dir=folder, tf_random_seed=7, save_summary_steps=None, save_checkpoints_steps=10**9,
                                    log_step_count_steps=10**9, session_config=session)
    estimator = tf.estimator.Estimator(model_fn, config=config)
    input_fn = v1.estimator.inputs.numpy_input_fn({"rawdata": data[0]}, data[1], batch_size=batch, num_epochs=None, shuffle=False)
    estimator.train(input_fn, hooks=[clock], max_steps=arguments.warm_up + clock.steps)
    shutil.rmtree(folder)


def run_loop(arguments, data, size, clock, session):
    seq, hidden, batch, _ = size
    with tf.Graph().as_default():
        series, target = v1.placeholder(tf.float32, [batch, seq]), v1.placeholder(tf.float32, [batch, 1])
        _, train_op = training(series, target, seq, hidden)
        with v1.Session(config=session) as running:
            running.run(v1.global_variables_initializer())
            step = running.make_callable(train_op, [series, target])
            for number in range(arguments.warm_up + clock.steps):
                rows = slice(number % POOL * batch, (number % POOL + 1) * batch)
                step(data[0][rows], data[1][rows])
                clock.after_run(None, None)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=0)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--warm-up", type=int, default=20)
    parser.add_argument("--intra", type=int)
    parser.add_argument("--inter", type=int, default=2)
    parser.add_argument("--loop", action="store_true")
    parser.add_argument("--xla", action="store_true")
    arguments = parser.parse_args()
    size = SIZES[arguments.size]
    seq, hidden, batch, steps = size
    arguments.intra = arguments.intra or (1 if arguments.size == 0 else 2)
    session = v1.ConfigProto(intra_op_parallelism_threads=arguments.intra, inter_op_parallelism_threads=arguments.inter)
    if arguments.xla:
        session.graph_options.optimizer_options.global_jit_level = v1.OptimizerOptions.ON_2
        os.environ["TF_XLA_FLAGS"] = "--tf_xla_cpu_global_jit"
    clock = Clock(arguments.warm_up, arguments.steps or steps, batch)
    v1.set_random_seed(7)
    (run_loop if arguments.loop else run_estimator)(arguments, make_data(seq, batch), size, clock, session)
    who = "tensorflow " + tf.__version__ + (" loop" if arguments.loop else "") + (" xla" if arguments.xla else "")
    print(json.dumps({
        "workload": "C", "who": who, "seq": seq, "hidden": hidden, "batch": batch, "intra": arguments.intra,
        "inter": arguments.inter, "examples_s": round(clock.steps * batch / (clock.last - clock.start)),
        "best_examples_s": round(clock.best)}))


if __name__ == "__main__":
    main()
