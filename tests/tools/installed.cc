/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library as a program in C++ meets it: options come from pil_X_options_default() and go to pil_X_make(), the ops are the
 * same functions, and a model function may be one of C++. A line is fitted to points of y = 2 x + 1; test_examples.sh compiles
 * and runs it against an installation.
 */
#include <cmath>
#include <cstdio>

#include <pilaster.h>

namespace
{

constexpr int64_t ROWS = 64;
float xs[ROWS], ys[ROWS];

pil_dataset *points(void *)
{
    pil_array x = {};
    x.name = "x";
    x.floats = xs;
    x.rows = ROWS;
    pil_dataset_from_arrays_options options = pil_dataset_from_arrays_options_default();
    options.x = { &x, 1 };
    options.y.floats = ys;
    options.y.rows = ROWS;
    options.batch_size = 16;
    options.num_epochs = 0;
    return pil_dataset_from_arrays_make(&options);
}

pil_estimator_spec line(pil_graph *g, const pil_features *features, pil_tensor *targets, pil_mode mode, void *)
{
    pil_layers_dense_options dense = pil_layers_dense_options_default();
    dense.units = 1;
    dense.name = "line";
    pil_tensor *y = pil_layers_dense_make(g, pil_feature(features, "x"), &dense);
    pil_named_tensor predicted = {};
    predicted.name = "predicted";
    predicted.tensor = y;
    pil_estimator_spec spec = {};
    spec.mode = mode;
    spec.predictions = pil_dict_make(g, &predicted, 1);
    if (mode != PIL_PREDICT) {
        pil_reduce_options all = pil_reduce_options_default();
        all.x = pil_square(g, pil_sub(g, y, targets));
        spec.loss = pil_reduce_mean_make(g, &all);
        pil_sgd_options sgd = pil_sgd_options_default();
        sgd.learning_rate = 0.1f;
        sgd.legacy = true;
        pil_minimize_options minimize = pil_minimize_options_default();
        minimize.loss = spec.loss;
        spec.train_op = pil_minimize_make(g, pil_sgd_make(&sgd), &minimize);
    }
    return spec;
}

bool told(const pil_status &status)
{
    if (status.code != PIL_OK)
        std::fprintf(stderr, "%s: %s\n", pil_code_name(status.code), status.message);
    return status.code != PIL_OK;
}

} // namespace

int main(int count, char **arguments)
{
    for (int64_t i = 0; i < ROWS; i++) {
        xs[i] = -1.0f + 2.0f * static_cast<float>(i) / ROWS;
        ys[i] = 2 * xs[i] + 1;
    }
    pil_estimator_config config = {};
    config.model_fn = line;
    config.model_dir = count > 1 ? arguments[1] : "line_model";
    pil_estimator *estimator = pil_estimator_new(&config);
    pil_train_spec spec = {};
    spec.input_fn = points;
    spec.max_steps = 400;
    float weight = 0, bias = 0;
    bool failed = told(pil_train(estimator, &spec)) || told(pil_variable_value(estimator, "line/kernel", nullptr, &weight, 1)) ||
                  told(pil_variable_value(estimator, "line/bias", nullptr, &bias, 1));
    pil_estimator_free(estimator);
    std::printf("y = %.3f x + %.3f\n", static_cast<double>(weight), static_cast<double>(bias));
    return failed || std::fabs(weight - 2) > 0.001f || std::fabs(bias - 1) > 0.001f;
}
