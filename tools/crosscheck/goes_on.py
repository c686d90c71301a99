#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""TensorFlow's own Estimator goes on from Pilaster's checkpoint, and back.

Trains the twin `wide_deep_classifier` 20 steps with Pilaster, 20 with tf.estimator 2.15, 20 with Pilaster again, all in
one model_dir, and compares every loss with those of the run that TensorFlow made alone (tests/golden/twin).

    python3 tools/crosscheck/goes_on.py build/src/cli/pilaster

Needs tensorflow-cpu 2.15 and pandas; not part of `make test`. Exits with 1 when a loss differs by more than 1e-4.
"""
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import pandas as pd
import tensorflow as tf

TWIN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "golden", "twin", "wide_deep_classifier")


def estimator(folder):
    fc = tf.feature_column
    day = fc.categorical_column_with_vocabulary_list("dayofweek", ["Sun", "Mon", "Tues", "Wed", "Thurs", "Fri", "Sat"])
    day_hr = fc.crossed_column([day, fc.categorical_column_with_identity("hourofday", 24)], 168)
    numbers = {key: fc.numeric_column(key) for key in ("pickuplat", "pickuplon", "dropofflat", "dropofflon")}
    bounds = {"lat": [40.65, 40.7, 40.75, 40.8, 40.85], "lon": [-74.05, -74.0, -73.95, -73.9]}
    cells = {key: fc.bucketized_column(column, bounds[key[-3:]]) for key, column in numbers.items()}
    ploc = fc.crossed_column([cells["pickuplat"], cells["pickuplon"]], 36)
    dloc = fc.crossed_column([cells["dropofflat"], cells["dropofflon"]], 36)
    zone = fc.categorical_column_with_hash_bucket("zone", 100)
    legacy = tf.keras.optimizers.legacy
    return tf.estimator.DNNLinearCombinedClassifier(
        model_dir=folder, config=tf.estimator.RunConfig(save_summary_steps=1),
        linear_feature_columns=[day_hr, fc.crossed_column([ploc, dloc], 1000), ploc, dloc, zone, fc.numeric_column("passengers")],
        linear_optimizer=legacy.Ftrl(0.1, l1_regularization_strength=0.01),
        dnn_feature_columns=[fc.embedding_column(day_hr, 2), fc.embedding_column(zone, 4, combiner="sqrtn"),
                             fc.indicator_column(day), *numbers.values()],
        dnn_hidden_units=[16, 8], dnn_optimizer=legacy.Adam(0.005))


def losses(folder):
    found = {}
    for path in sorted(glob.glob(os.path.join(folder, "events*"))):
        for event in tf.compat.v1.train.summary_iterator(path):
            for value in event.summary.value:
                if value.tag == "loss":
                    found[event.step] = value.simple_value
    return found


def main():
    program = os.path.abspath(sys.argv[1])
    expected = {int(step): loss for step, loss in json.load(open(os.path.join(TWIN, "expected.json")))["loss_by_step"].items()}
    rows = pd.read_csv(os.path.join(TWIN, "train.csv"), keep_default_na=False)
    labels = rows.pop("expensive").values

    def input_fn():
        return tf.data.Dataset.from_tensor_slices((dict(rows), labels)).repeat().batch(32).skip(20)

    def pilaster(folder, step, *more):
        subprocess.run([program, "train", os.path.join(TWIN, "model.yaml"), "--model-dir", folder, "--max-steps", str(step),
                        "--set", "run.save_summary_steps=1", *more], check=True, stdout=subprocess.DEVNULL)

    with tempfile.TemporaryDirectory() as folder:
        for path in glob.glob(os.path.join(TWIN, "step0", "*")):
            shutil.copy(path, folder)
        pilaster(folder, 20)
        estimator(folder).train(input_fn, max_steps=40)
        pilaster(folder, 60, "--set", "input.skip=40") # TensorFlow keeps no place in the data
        found = losses(folder)
    worst = max(abs(found[step] - loss) / abs(loss) for step, loss in expected.items())
    print(f"{len(expected)} steps by Pilaster, TensorFlow and Pilaster in turn: largest relative difference of a loss {worst:.2g}")
    return 0 if worst <= 1e-4 else 1


if __name__ == "__main__":
    sys.exit(main())
