/* SPDX-License-Identifier: Apache-2.0 */
/* A model file's estimator: the config, specs and input functions that its sections come to. */
#include <string.h>

#include "estimator/internal.h"

struct pil_estimator *model_estimator(struct model *model, const struct estimator_options *options, int threads)
{
    pil_run_config config = pil_run_config_default();
    const struct run_options *run = &model->run;
    config.tf_random_seed = run->tf_random_seed;
    config.save_summary_steps = run->save_summary_steps;
    config.save_checkpoints_steps = run->save_checkpoints_steps;
    config.save_checkpoints_secs = run->save_checkpoints_steps ? 0 : run->save_checkpoints_secs;
    config.keep_checkpoint_max = run->keep_checkpoint_max;
    config.keep_checkpoint_every_n_hours = run->keep_checkpoint_every_n_hours;
    config.log_step_count_steps = run->log_step_count_steps;
    config.threads = threads;
    config.strict = model->train.strict;
    struct estimator_options own = options ? *options : (struct estimator_options){ 0 };
    own.tf_dense = model->tf_dense;
    own.origin = model->path;
    return estimator_new(&(pil_estimator_config){ .model_fn = canned_model_fn,
                                                  .model_dir = run->model_dir,
                                                  .config = &config,
                                                  .params = model,
                                                  .warm_start_from = model->warm_start_from },
                         &own);
}

/* ---- input ---- */

static pil_dataset *dataset_of(const struct model *model, const struct arg_texts *files, bool training, bool split)
{
    enum { SENSIBLE_SHUFFLE = 100000 };
    const struct input_section *input = &model->input;
    pil_csv_field *fields = NULL;
    pil_status status = { 0 };
    if (input->field_count)
        fields = arena_alloc(model->arena, input->field_count * sizeof *fields, &status);
    for (size_t i = 0; fields && i < input->field_count; i++) {
        static const pil_feature_type types[] = { [FIELD_STRING] = PIL_TYPE_STRING,
                                                  [FIELD_INT64] = PIL_TYPE_INT64,
                                                  [FIELD_FLOAT] = PIL_TYPE_FLOAT32,
                                                  [PROGRAM_ANY_TYPE] = PIL_TYPE_ANY };
        const struct field_spec *spec = &input->fields[i];
        fields[i] = (pil_csv_field){ spec->name, types[spec->type], spec->separator, spec->weight_separator };
    }
    int64_t shuffle = !training ? 0 : input->shuffle < 0 ? SENSIBLE_SHUFFLE : input->shuffle;
    return pil_csv_dataset(((pil_words){ files->items, files->count }), input->batch_size,
                           .column_names = { input->csv.names, input->csv.name_count }, .label_name = model->label,
                           .label_dimension = model->head.label_dimension, .fields = { fields, fields ? input->field_count : 0 },
                           .field_delim = input->csv.delimiter ? input->csv.delimiter : ',', .comment = input->csv.comment,
                           .num_epochs = training ? input->epochs : 1, .shuffle = shuffle > 0, .shuffle_buffer_size = shuffle,
                           .skip = training ? input->skip : 0, .ignore_errors = input->csv.skip_bad, .format = input->format,
                           .cache = training && input->cache,
                           .cache_bytes =
                               input->cache_bytes > 0 ? input->cache_bytes : pil_csv_dataset_options_default().cache_bytes,
                           .max_values_per_row = input->max_values_per_row, .split = split ? model->eval.split : 0,
                           .split_held_out = !training, .split_by = model->eval.split_by);
}

pil_dataset *model_train_input(void *context)
{
    const struct model *model = context;
    return dataset_of(model, &model->input.train, true, model->eval.split > 0);
}

pil_dataset *model_eval_input(void *context)
{
    const struct model *model = context;
    bool split = !model->data && model->eval.split > 0;
    const struct arg_texts data = { &model->data, 1, false };
    return dataset_of(model, model->data ? &data : split ? &model->input.train : &model->input.eval, false, split);
}

bool model_can_evaluate(const struct model *model)
{
    return model->input.eval.count > 0 || model->eval.split > 0;
}

bool model_has_files(const struct model *model, bool training, pil_status *status)
{
    if (training ? model->input.train.count > 0 : model_can_evaluate(model))
        return true;
    return status_fail(status, PIL_INVALID_ARGUMENT, "%s: the input section names no %s files", model->path,
                       training ? "train" : "eval");
}

/* ---- exports ---- */

static bool ask_for(struct program *program, struct pil_column *const *columns, size_t count, pil_status *status)
{
    for (size_t i = 0; i < count; i++)
        if (!program_column(program, columns[i], status))
            return false;
    return true;
}

/* Numbers a row of a field: a vector's width, any number where a cell has separators, else one. */
static int64_t width_of(const struct model *model, const struct field_spec *field)
{
    for (size_t i = 0; i < model->linear_count + model->dnn_count; i++) {
        const struct pil_column *column =
            i < model->linear_count ? model->linear_columns[i] : model->dnn_columns[i - model->linear_count];
        if (strcmp(column_kind(column), "numeric_column") == 0 && strcmp(column_name(column), field->name) == 0)
            return column_width(column);
    }
    return field->separator || field->weight_separator ? 0 : 1;
}

/* What a model file's columns read, as they read it. */
static bool receive_fields(const struct model *model, struct program *program, pil_receivers *receivers, pil_status *status)
{
    static const pil_receiver_type types[] = {
        [FIELD_STRING] = PIL_RECEIVE_STRINGS, [FIELD_INT64] = PIL_RECEIVE_INTS, [FIELD_FLOAT] = PIL_RECEIVE_FLOATS
    };
    for (size_t i = 0; i < model->input.field_count; i++)
        if (!program_field(program, &model->input.fields[i], status))
            return false;
    if (!ask_for(program, model->linear_columns, model->linear_count, status) ||
        !ask_for(program, model->dnn_columns, model->dnn_count, status) || !program_finish(program, status))
        return false;
    size_t count;
    const struct field_spec *fields = program_fields(program, &count);
    for (size_t i = 0; i < count; i++)
        pil_receive(receivers, fields[i].name, types[fields[i].type], width_of(model, &fields[i]));
    return true;
}

void model_receives(pil_receivers *receivers, void *context)
{
    const struct model *model = context;
    pil_status status = { 0 };
    struct program *program = program_new(&(struct program_options){ model->input.max_values_per_row, model->tf_dense }, &status);
    if (!program || !receive_fields(model, program, receivers, &status))
        receivers_fail(receivers, &status);
    program_free(program);
}

void model_specs(const struct model *model, pil_train_spec *train, pil_eval_spec *eval)
{
    *train = (pil_train_spec){ .input_fn = model_train_input,
                               .steps = model->train.steps,
                               .max_steps = model->train.steps ? 0 : model->train.max_steps };
    *eval = (pil_eval_spec){ .input_fn = model_eval_input,
                             .steps = model->data ? PIL_ALL : model->eval.steps,
                             .name = model->eval.name,
                             .throttle_secs = model->eval.throttle_secs > 0 ? model->eval.throttle_secs : -1 };
    for (size_t i = 0, count = 0; i < model->exporter_count && count < PIL_MAX_EXPORTERS; i++)
        if (model->exporters[i].kind == EXPORTER_LATEST)
            eval->exporters[count++] = pil_latest_exporter(model->exporters[i].name, model_receives,
                                                           .exports_to_keep = model->exporters[i].exports_to_keep);
}
