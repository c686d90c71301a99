#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A custom Estimator of TensorFlow goes on in C, and back: docs/porting-estimators.md, "Going on from an old model_dir".

An LSTM with two dense layers behind it is trained 20 steps by tf.compat.v1.estimator. From a copy of its folder, 20 steps by
Pilaster (goes_on_custom.c) and 20 more by TensorFlow; from the folder itself, 40 by TensorFlow. The losses at 20, 40 and 60 must
agree, for each optimizer. Variables without a name, layers without a name and slots are found by TensorFlow's names.

    python3 tools/crosscheck/goes_on_custom.py build

Needs tensorflow-cpu 2.15 and a C compiler; not part of `make test`. Exits with 1 when a loss differs by more than 1e-5.
"""
import os
import shutil
import subprocess
import sys
import tempfile

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np  # noqa: E402
import tensorflow  # noqa: E402

tf = tensorflow.compat.v1
tf.disable_eager_execution()
tf.logging.set_verbosity(tf.logging.ERROR)
legacy = tensorflow.keras.optimizers.legacy
OPTIMIZERS = {
    "GradientDescent": lambda: tf.train.GradientDescentOptimizer(0.01),
    "Momentum": lambda: tf.train.MomentumOptimizer(0.01, 0.9),
    "Adagrad": lambda: tf.train.AdagradOptimizer(0.05),
    "Adam": lambda: tf.train.AdamOptimizer(0.01),
    "Ftrl": lambda: tf.train.FtrlOptimizer(0.05),
    "RMSProp": lambda: tf.train.RMSPropOptimizer(0.005),
    "legacy.Adam": lambda: legacy.Adam(0.01),
    "legacy.Adagrad": lambda: legacy.Adagrad(0.05),
}


def model_fn(features, labels, mode, params):
    x = tf.split(features["rawdata"], 9, axis=1)
    cell = tf.nn.rnn_cell.BasicLSTMCell(3, forget_bias=1.0)
    outputs, _ = tf.nn.static_rnn(cell, x, dtype=tf.float32)
    weight = tf.Variable(tf.random_normal([3, 1]), name="weight")
    bias = tf.Variable(tf.random_normal([1]))
    h = tf.layers.dense(tf.layers.dense(outputs[-1], 4, tf.nn.tanh), 3)
    predictions = tf.matmul(h, weight) + bias
    loss = tf.losses.mean_squared_error(labels, predictions)
    optimizer = OPTIMIZERS[params["optimizer"]]()
    if params["optimizer"].startswith("legacy."):
        optimizer.iterations = tf.train.get_or_create_global_step()
        with tf.name_scope("training"):  # as heads do
            train_op = optimizer.get_updates(loss, tf.trainable_variables())[0]
    else:
        train_op = optimizer.minimize(loss, global_step=tf.train.get_global_step())
    return tf.estimator.EstimatorSpec(mode=mode, predictions={"predicted": predictions}, loss=loss, train_op=train_op)


def tensorflow_trains(folder, optimizer, xs, ys):
    estimator = tf.estimator.Estimator(model_fn, folder, params={"optimizer": optimizer})
    data = tf.estimator.inputs.numpy_input_fn({"rawdata": xs}, ys, batch_size=20, num_epochs=1, shuffle=False)
    estimator.train(data)
    return float(estimator.evaluate(data)["loss"])


def main():
    here, build = os.path.dirname(os.path.abspath(__file__)), os.path.abspath(sys.argv[1])
    random = np.random.RandomState(3)
    xs = random.rand(400, 9).astype("float32")
    ys = xs.sum(1, keepdims=True).astype("float32")
    worst = 0
    with tempfile.TemporaryDirectory() as scratch:
        program, data = os.path.join(scratch, "program"), os.path.join(scratch, "data")
        subprocess.run(["cc", "-I" + os.path.join(here, "../../include"), os.path.join(here, "goes_on_custom.c"), "-o", program,
                        "-L" + build, "-lpilaster", "-Wl,-rpath," + build], check=True)
        with open(data, "wb") as file:
            file.write(xs.tobytes() + ys.tobytes())
        for optimizer in OPTIMIZERS:
            alone, both = os.path.join(scratch, optimizer), os.path.join(scratch, optimizer + "-both")
            want = [tensorflow_trains(alone, optimizer, xs, ys)]
            shutil.copytree(alone, both)
            want += [tensorflow_trains(alone, optimizer, xs, ys) for _ in range(2)]
            out = subprocess.run([program, both, data, optimizer], check=True, capture_output=True, text=True).stdout
            got = [float(line.split()[1]) for line in out.splitlines()] + [tensorflow_trains(both, optimizer, xs, ys)]
            error = max(abs(g - w) / abs(w) for g, w in zip(got, want))
            worst = max(worst, error)
            print(f"{optimizer:16} {' '.join(f'{w:.7g}' for w in want)}  with Pilaster between {' '.join(f'{g:.7g}' for g in got)}"
                  f"  {error:.1e}", flush=True)
    return worst > 1e-5


if __name__ == "__main__":
    sys.exit(main())
