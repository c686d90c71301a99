#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""TensorFlow 1's own Estimators go on from Pilaster's checkpoints (`tensorflow: 1`), and back.

Trains models of the twin's data 20 steps with Pilaster, 20 with tf.compat.v1.estimator, 20 with Pilaster again, all in one
model_dir, and compares every loss with those of 60 steps by Pilaster alone. TensorFlow refuses a checkpoint that lacks a slot
or a power of beta, so this shows the names, too.

    python3 tools/crosscheck/goes_on_v1.py build/src/cli/pilaster

Needs tensorflow-cpu 2.15 and pandas; not part of `make test`. Exits with 1 when a loss differs by more than 1e-4.
"""
import os
import subprocess
import sys
import tempfile

from goes_on import TWIN, losses, pd, tf

V1 = tf.compat.v1
MODELS = {  # estimator: params, and the same in TensorFlow
    "linear_classifier": [
        ("optimizer: {ftrl: {learning_rate: 0.2, l1_regularization_strength: 0.01}}",
         dict(optimizer=lambda: V1.train.FtrlOptimizer(0.2, l1_regularization_strength=0.01))),
        ("optimizer: {adam: {learning_rate: 0.01}}", dict(optimizer=lambda: V1.train.AdamOptimizer(0.01)))],
    "dnn_classifier": [
        ("optimizer: {adagrad: {learning_rate: 0.05}}", dict(optimizer=lambda: V1.train.AdagradOptimizer(0.05))),
        ("optimizer: {adam: {learning_rate: 0.005}}", dict(optimizer=lambda: V1.train.AdamOptimizer(0.005))),
        ("optimizer: {rmsprop: {learning_rate: 0.001, momentum: 0.5}}",
         dict(optimizer=lambda: V1.train.RMSPropOptimizer(0.001, momentum=0.5)))],
    "dnn_linear_combined_classifier": [
        ("linear_optimizer: {adam: {learning_rate: 0.01}}\n  dnn_optimizer: {adam: {learning_rate: 0.005}}",
         dict(linear_optimizer=lambda: V1.train.AdamOptimizer(0.01), dnn_optimizer=lambda: V1.train.AdamOptimizer(0.005))),
        ("linear_optimizer: {momentum: {learning_rate: 0.01, momentum: 0.9}}\n  dnn_optimizer: {adadelta: {learning_rate: 0.5}}",
         dict(linear_optimizer=lambda: V1.train.MomentumOptimizer(0.01, 0.9),
              dnn_optimizer=lambda: V1.train.AdadeltaOptimizer(0.5)))],
    "baseline_classifier": [
        ("optimizer: {adam: {learning_rate: 0.01}}", dict(optimizer=lambda: V1.train.AdamOptimizer(0.01)))],
}


def estimator(kind, folder, optimizers):
    fc = tf.feature_column
    day = fc.categorical_column_with_vocabulary_list("dayofweek", ["Sun", "Mon", "Tues", "Wed", "Thurs", "Fri", "Sat"])
    day_hr = fc.crossed_column([day, fc.categorical_column_with_identity("hourofday", 24)], 168)
    zone = fc.categorical_column_with_hash_bucket("zone", 100)
    wide = [day_hr, zone, fc.numeric_column("passengers")]
    deep = [fc.embedding_column(day_hr, 2), fc.indicator_column(day), fc.numeric_column("pickuplat")]
    common = dict(model_dir=folder, config=tf.estimator.RunConfig(save_summary_steps=1), **{k: v() for k, v in optimizers.items()})
    if kind == "linear_classifier":
        return V1.estimator.LinearClassifier(wide, **common)
    if kind == "dnn_classifier":
        return V1.estimator.DNNClassifier([8], deep, **common)
    if kind == "baseline_classifier":
        return V1.estimator.BaselineClassifier(**common)
    return V1.estimator.DNNLinearCombinedClassifier(linear_feature_columns=wide, dnn_feature_columns=deep, dnn_hidden_units=[8],
                                                    **common)


COLUMNS = {"linear_classifier": "feature_columns: [day_hr, zone, passengers]",
           "dnn_classifier": "feature_columns: [day_hr_em, day_ind, pickuplat]\n  hidden_units: [8]",
           "dnn_linear_combined_classifier": "linear_feature_columns: [day_hr, zone, passengers]\n"
                                             "  dnn_feature_columns: [day_hr_em, day_ind, pickuplat]\n  dnn_hidden_units: [8]",
           "baseline_classifier": "n_classes: 2"}


def model_file(kind, params, path):
    """The twin's model file with another estimator and other params."""
    text = open(os.path.join(TWIN, "model.yaml")).read()
    before, rest = text.split("params:\n")
    after = rest[rest.index("input:\n"):]
    before = before.replace("estimator: dnn_linear_combined_classifier", f"estimator: {kind}\ntensorflow: 1")
    after = after.replace("train: train.csv", f"train: {TWIN}/train.csv").replace("eval: eval.csv", f"eval: {TWIN}/eval.csv")
    with open(path, "w") as file:
        file.write(f"{before}params:\n  {COLUMNS[kind]}\n  {params}\n{after}")


def main():
    program = os.path.abspath(sys.argv[1])
    rows = pd.read_csv(os.path.join(TWIN, "train.csv"), keep_default_na=False)
    labels = rows.pop("expensive").values
    worst = 0

    def input_fn():
        return tf.data.Dataset.from_tensor_slices((dict(rows), labels)).repeat().batch(32).skip(20)

    for kind, cases in MODELS.items():
        for params, optimizers in cases:
            with tempfile.TemporaryDirectory() as folder:
                yaml, alone, in_turn = (os.path.join(folder, name) for name in ("model.yaml", "alone", "in_turn"))
                model_file(kind, params, yaml)

                def pilaster(to, step, *more):
                    subprocess.run([program, "train", yaml, "--model-dir", to, "--max-steps", str(step), "--set",
                                    "run.save_summary_steps=1", *more], check=True, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)

                pilaster(alone, 60)
                pilaster(in_turn, 20)
                estimator(kind, in_turn, optimizers).train(input_fn, max_steps=40)
                pilaster(in_turn, 60, "--set", "input.skip=40")
                expected, found = losses(alone), losses(in_turn)
                assert len(expected) == 60 and set(found) == set(expected)
                error = max(abs(found[step] - loss) / abs(loss) for step, loss in expected.items())
                print(f"{kind}, {params.split(': ', 1)[1].splitlines()[0]}: largest relative difference of a loss {error:.2g}")
                worst = max(worst, error)
    return 0 if worst <= 1e-4 else 1


if __name__ == "__main__":
    sys.exit(main())
