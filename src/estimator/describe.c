/* SPDX-License-Identifier: Apache-2.0 */
/* What a model is, for people: a headline before training, every variable and the schedule for --dry-run. */
#include <stdio.h>
#include <string.h>

#include "estimator/internal.h"

static void count(struct text *out, int64_t value, const char *what)
{
    text_count(out, value);
    text_format(out, " %s%s", what, value == 1 ? "" : "s");
}

/* Weights below a prefix ("linear/", "dnn/"). */
static int64_t weights_of(const struct pil_estimator *estimator, const char *prefix)
{
    int64_t sum = 0;
    for (size_t i = 0; i < store_count(estimator->store); i++) {
        const struct variable *variable = store_at(estimator->store, i);
        if (variable->trainable && strncmp(variable->name, prefix, strlen(prefix)) == 0)
            sum += shape_elements(variable->shape);
    }
    return sum;
}

static void part_line(const struct model *model, const struct pil_estimator *estimator, struct text *out)
{
    if (model->linear_count) {
        text_format(out, "wide  ");
        count(out, (int64_t)model->linear_count, "column");
        text_format(out, ", ");
        count(out, weights_of(estimator, "linear/"), "weight");
        text_format(out, "   ");
    }
    if (model->dnn_count) {
        text_format(out, "deep  ");
        count(out, (int64_t)model->dnn_count, "column");
        text_format(out, ", ");
        count(out, weights_of(estimator, "dnn/"), "weight");
        text_format(out, "   ");
    }
    text_format(out, "optimizers  ");
    if (model->linear_count || model->kind == ESTIMATOR_BASELINE)
        text_format(out, "%s %g%s", optimizer_class(&model->linear_optimizer), model->linear_optimizer.options.learning_rate.rate,
                    model->dnn_count ? ", " : "");
    if (model->dnn_count)
        text_format(out, "%s %g", optimizer_class(&model->dnn_optimizer), model->dnn_optimizer.options.learning_rate.rate);
    text_format(out, "\n");
}

static void schedule_line(const struct model *model, struct text *out)
{
    const struct run_options *run = &model->run;
    if (model->train.steps || model->train.max_steps) {
        count(out, model->train.steps ? model->train.steps : model->train.max_steps, model->train.steps ? "more step" : "step");
    } else {
        text_format(out, "to the end of the data");
    }
    text_format(out, ", ");
    count(out, model->input.batch_size, "row");
    text_format(out, " each");
    if (model->input.epochs) {
        text_format(out, ", ");
        count(out, model->input.epochs, "epoch");
    }
    if (run->save_checkpoints_steps > 0) {
        text_format(out, "   save every ");
        count(out, run->save_checkpoints_steps, "step");
    } else if (run->save_checkpoints_secs > 0) {
        text_format(out, "   save every %g s", run->save_checkpoints_secs);
    } else {
        text_format(out, "   save at the end");
    }
    bool evaluates = model_can_evaluate(model);
    if (evaluates && model->eval.throttle_secs > 0)
        text_format(out, "   evaluate after a save, at most every %g s, and at the end", model->eval.throttle_secs);
    else if (evaluates)
        text_format(out, "   evaluate after each save");
    else
        text_format(out, "   no evaluation");
    bool exports = false;
    for (size_t i = 0; i < model->exporter_count; i++)
        exports |= model->exporters[i].kind == EXPORTER_LATEST;
    text_format(out, "   export: %s\n", exports && evaluates ? "latest" : "none");
}

void model_headline(const struct model *model, struct pil_estimator *estimator, struct text *out)
{
    text_format(out, "%s of '%s'", model->estimator, model->label);
    if (estimator->restored) {
        text_format(out, "   goes on from step ");
        text_count(out, estimator_step(estimator));
        text_format(out, " (%s)", path_base(estimator->restored));
    }
    text_format(out, "\n");
    part_line(model, estimator, out);
    schedule_line(model, out);
}

static void variable_lines(const struct store *store, struct text *out)
{
    text_format(out, "#\n# %-84s %-16s %12s %12s\n", "variable", "shape", "parameters", "bytes");
    for (size_t i = 0; i < store_count(store); i++) {
        const struct variable *variable = store_at(store, i);
        char shape[128];
        int64_t elements = shape_elements(variable->shape);
        if (variable->layout == STORE_PLAIN)
            continue;
        text_format(out, "# %-84s %-16s %12lld %12lld\n", variable->name, shape_text(variable->shape, shape), (long long)elements,
                    (long long)(elements * 4 * (1 + variable->slot_count)));
    }
}

/* A comment below the YAML: every line starts with "# ". */
static void comment_lines(const struct text *lines, struct text *out)
{
    text_format(out, "\n");
    for (size_t at = 0, end; at < lines->size; at = end) {
        for (end = at; end < lines->size && lines->data[end++] != '\n';)
            ;
        text_format(out, "# %.*s", (int)(end - at), lines->data + at);
    }
    out->failed = out->failed || lines->failed;
}

bool model_describe(const struct model *model, struct pil_estimator *estimator, struct text *out, pil_status *status)
{
    struct text headline = { 0 };
    struct mode_run run = { 0 };
    pil_dataset *dataset = estimator_dataset(estimator, model_train_input, "train", status);
    bool ok = dataset && mode_make(&run, estimator, PIL_TRAIN, dataset, NULL, 0, status) && values_make(estimator, &run, status);
    if (ok) {
        model_headline(model, estimator, &headline);
        comment_lines(&headline, out);
        variable_lines(estimator->store, out);
        text_format(out, "#\n# ");
        count(out, store_parameters(estimator->store), "parameter");
        text_format(out, ", ");
        count(out, store_bytes(estimator->store), "byte");
        text_format(out, " with the optimizers' slots, ");
        count(out, (int64_t)plan_flops(run.plan), "operation");
        text_format(out, " an example\n");
    }
    text_free(&headline);
    mode_free(&run);
    pil_dataset_free(dataset);
    return ok;
}
