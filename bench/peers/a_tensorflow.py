# SPDX-License-Identifier: Apache-2.0
"""Workload A in TensorFlow's Estimator (2.15, the last that has it): the twin of bench/workload_a/model.yaml.

    a_tensorflow.py DATA [--intra N] [--inter N] [--parse N] [--rows N]

Tuned as its users would: text lines are put in batches and then decoded, so that decode_csv is called once a batch; decoding
runs ahead on its own threads; no summaries or log lines, checkpoints at the start and at the end alone. --intra and --inter are the session's
threads, --parse the threads that decode. oneDNN is switched by TF_ENABLE_ONEDNN_OPTS in the environment. Prints one JSON object:
"seconds" from the call of train until the last step, graph building included, imports not; "steady_examples_s" of the steps
after the first 200.
"""
import argparse
import json
import os
import resource
import shutil
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
began = time.perf_counter()
import tensorflow as tf  # noqa: E402

imported = time.perf_counter() - began
tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)
fc = tf.feature_column

BATCH = 512
WARM_UP = 200
NAMES = ["fare", "dayofweek", "hourofday", "pickuplon", "pickuplat", "dropofflon", "dropofflat", "passengers", "latdiff", "londiff"]
DEFAULTS = [[0.0], [""], [0], [0.0], [0.0], [0.0], [0.0], [0.0], [0.0], [0.0]]


def columns():
    """The columns of model.yaml, linear and deep."""

    def number(name, middle):
        return fc.numeric_column(name, normalizer_fn=lambda x: (x - middle) / 0.1)

    boundaries = [-0.8 + 0.2 * i for i in range(9)]
    numbers = {name: number(name, -73.95) for name in ("pickuplon", "dropofflon")}
    numbers.update({name: number(name, 40.75) for name in ("pickuplat", "dropofflat")})
    numbers.update({name: number(name, 0.0) for name in ("latdiff", "londiff")})
    bucket = {name: fc.bucketized_column(numbers[name], boundaries)
              for name in ("pickuplon", "pickuplat", "dropofflon", "dropofflat")}
    day = fc.categorical_column_with_vocabulary_list("dayofweek", ["Sun", "Mon", "Tues", "Wed", "Thurs", "Fri", "Sat"])
    hour = fc.categorical_column_with_identity("hourofday", 24)
    day_hour = fc.crossed_column([day, hour], 168)
    pickup = fc.crossed_column([bucket["pickuplat"], bucket["pickuplon"]], 100)
    dropoff = fc.crossed_column([bucket["dropofflat"], bucket["dropofflon"]], 100)
    trip = fc.crossed_column([pickup, dropoff], 10000)
    linear = [day, hour, fc.numeric_column("passengers"), day_hour, pickup, dropoff, trip]
    deep = [fc.embedding_column(trip, 10), fc.embedding_column(day_hour, 10)] + [
        numbers[name] for name in ("pickuplat", "pickuplon", "dropofflat", "dropofflon", "latdiff", "londiff")]
    return linear, deep


def decode(lines):
    fields = dict(zip(NAMES, tf.io.decode_csv(lines, DEFAULTS)))
    label = fields.pop("fare")
    return fields, label


def batches(path, parse, rows=None):
    lines = tf.data.TextLineDataset(path, buffer_size=8 << 20).skip(1)
    if rows:
        lines = lines.take(rows)
    options = tf.data.Options()
    options.deterministic = True
    return lines.batch(BATCH).map(decode, num_parallel_calls=parse).prefetch(4).with_options(options)


class Clock(tf.compat.v1.train.SessionRunHook):
    """When each step was done."""

    def __init__(self):
        self.steps = 0
        self.warm = self.last = None

    def after_run(self, run_context, run_values):
        self.last = time.perf_counter()
        self.steps += 1
        if self.steps == WARM_UP:
            self.warm = self.last


def processor_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("--intra", type=int, default=1)
    parser.add_argument("--inter", type=int, default=2)
    parser.add_argument("--parse", type=int, default=1)
    parser.add_argument("--rows", type=int, help="train on the first so many rows")
    parser.add_argument("--no-evaluation", action="store_true")
    arguments = parser.parse_args()
    folder = tempfile.mkdtemp()
    linear, deep = columns()
    config = tf.estimator.RunConfig(
        model_dir=folder, tf_random_seed=7, save_summary_steps=None, save_checkpoints_steps=10**9,
        log_step_count_steps=10**9, keep_checkpoint_max=1,
        session_config=tf.compat.v1.ConfigProto(intra_op_parallelism_threads=arguments.intra,
                                                inter_op_parallelism_threads=arguments.inter))
    estimator = tf.estimator.DNNLinearCombinedRegressor(
        config=config, linear_feature_columns=linear, linear_optimizer=tf.keras.optimizers.legacy.Ftrl(0.05),
        dnn_feature_columns=deep, dnn_hidden_units=[64, 32], dnn_optimizer=tf.keras.optimizers.legacy.Adagrad(0.05))
    train = os.path.join(arguments.data, "train.csv")
    clock = Clock()
    start, used = time.perf_counter(), processor_seconds()
    estimator.train(lambda: batches(train, arguments.parse, arguments.rows), hooks=[clock])
    used = processor_seconds() - used
    rows = arguments.rows or 2000000
    report = {
        "workload": "A", "who": "tensorflow " + tf.__version__, "intra": arguments.intra, "inter": arguments.inter,
        "parse": arguments.parse, "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1"), "examples": rows,
        "import_s": round(imported, 2), "seconds": round(clock.last - start, 3), "examples_s": round(rows / (clock.last - start)),
        "steady_examples_s": round((clock.steps - WARM_UP) * BATCH / (clock.last - clock.warm)), "processor_s": round(used, 2),
    }
    if not arguments.no_evaluation:
        result = estimator.evaluate(lambda: batches(os.path.join(arguments.data, "valid.csv"), arguments.parse))
        report["average_loss"] = float(result["average_loss"])
        report["rmse"] = float(result["average_loss"]) ** 0.5
    report["max_rss_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    shutil.rmtree(folder)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
