/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exports: a model as a folder that runs without the code that made it, and the predictor that runs it.
 *
 *     pil_eval_spec eval_spec = { .input_fn = get_valid, .steps = PIL_ALL,
 *                                 .exporters = { pil_latest_exporter("exporter", serving_input_fn) } };
 *
 *     pil_status status = { 0 };
 *     pil_predictor *p = pil_predictor_open("model/export/exporter/1764000000", &status);
 *     pil_prediction result = { 0 };
 *     pil_predictor_run(p, &(pil_request){ PIL_INPUTS({ "rawdata", .floats = window }), .signature = "predict", .rows = 1 },
 *                       &result, &status);
 *     const float *y = pil_predictor_outputs(&result, "predicted", NULL)->floats;
 *     pil_predictor_close(p);
 *
 * An export holds the PREDICT graph with its column program, the variables as a TensorFlow checkpoint, the signatures, and the
 * size and checksum of every file. It gets its name, the time in seconds, when all of it is on the disk.
 *
 * Signatures follow from the spec's export_outputs as in the original: none: "serving_default" gives the predictions; one: it is
 * "serving_default" too; several: one of them must be called so. Besides those, "predict" gives the predictions, unless an export
 * output has that name.
 */
#ifndef PILASTER_PUBLIC_EXPORT_H
#define PILASTER_PUBLIC_EXPORT_H

#include "pilaster/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- what an export offers ----------------------------------------------------------------------------------- */

typedef enum pil_export_kind { PIL_EXPORT_PREDICT, PIL_EXPORT_REGRESS, PIL_EXPORT_CLASSIFY } pil_export_kind;
/* One signature. Source: tf.estimator.export.{PredictOutput, RegressionOutput, ClassificationOutput}. */
typedef struct pil_export_output {
    pil_export_kind kind;
    pil_tensor *value;        /* REGRESS: [batch] or [batch, 1]; CLASSIFY: the scores [batch, classes] */
    const char *const *words; /* CLASSIFY: the classes' words, or NULL: their numbers */
    size_t word_count;
    pil_dict outputs; /* PREDICT */
} pil_export_output;
/* "outputs". */
PIL_API pil_export_output pil_regression_output(pil_tensor *value);
/* "scores" and "classes"; words (NULL: numbers 0, 1, ...) are copied when the spec takes the output. */
PIL_API pil_export_output pil_classification_output(pil_tensor *scores, const char *const *words, size_t word_count);
/* Any names: pil_predict_output(PIL_DICT(g, {"predicted", y})). */
PIL_API pil_export_output pil_predict_output(pil_dict outputs);

/* Names of signatures, copied into the graph: PIL_EXPORTS(g, {"regression", pil_regression_output(y)}). */
typedef struct pil_named_export {
    const char *name;
    pil_export_output output;
} pil_named_export;
typedef struct pil_exports {
    const pil_named_export *items;
    size_t count;
} pil_exports;
#define PIL_EXPORTS(graph, ...)                                                                                                  \
    pil_exports_make((graph), (const pil_named_export[]){ __VA_ARGS__ },                                                         \
                     sizeof((const pil_named_export[]){ __VA_ARGS__ }) / sizeof(pil_named_export))
PIL_API pil_exports pil_exports_make(pil_graph *graph, const pil_named_export *items, size_t count);

/* ---- what it takes ------------------------------------------------------------------------------------------- */

typedef struct pil_receivers pil_receivers;
/* Says which features requests bring, by calling pil_receive. Source: build_raw_serving_input_receiver_fn. */
typedef void (*pil_serving_input_fn)(pil_receivers *receivers, void *params);
typedef enum pil_receiver_type { PIL_RECEIVE_FLOATS, PIL_RECEIVE_INTS, PIL_RECEIVE_STRINGS } pil_receiver_type;
/* The feature `name`, `width` values a row; 0: any number of them. Errors (a name twice) are told by the export. */
PIL_API void pil_receive(pil_receivers *receivers, const char *name, pil_receiver_type type, int64_t width);

/* ---- when it is made ----------------------------------------------------------------------------------------- */

typedef enum pil_exporter_kind { PIL_EXPORTER_NONE, PIL_EXPORTER_LATEST } pil_exporter_kind;
/* A value, copied where it is kept. */
typedef struct pil_exporter {
    pil_exporter_kind kind;
    const char *name; /* of the folder below <model_dir>/export */
    pil_serving_input_fn serving_input_fn;
    int64_t exports_to_keep; /* the newest; 0: all */
} pil_exporter;
typedef struct pil_latest_exporter_options {
    pil_serving_input_fn serving_input_fn;
    int64_t exports_to_keep;
} pil_latest_exporter_options;
#define PIL_LATEST_EXPORTER_DEFAULTS .exports_to_keep = 5
/* After every evaluation <model_dir>/export/<name>/<seconds>/. Source: tf.estimator.LatestExporter. */
#define pil_latest_exporter(name, ...)                                                                                           \
    pil_latest_exporter_make((name),                                                                                             \
                             &(pil_latest_exporter_options){ PIL_LATEST_EXPORTER_DEFAULTS, .serving_input_fn = __VA_ARGS__ })
PIL_API pil_latest_exporter_options pil_latest_exporter_options_default(void);
PIL_API pil_exporter pil_latest_exporter_make(const char *name, const pil_latest_exporter_options *options);

/* ---- the predictor ------------------------------------------------------------------------------------------- */

typedef struct pil_predictor pil_predictor;
/* What a signature takes or gives. */
typedef struct pil_port {
    const char *name;
    const char *dtype; /* "float32", "int64", "string" */
    int64_t width;     /* values a row; 0: any number of them */
} pil_port;
typedef struct pil_signature {
    const char *name;   /* "serving_default", "predict", ... */
    const char *method; /* "predict", "regress", "classify" */
    const pil_port *inputs, *outputs;
    size_t input_count, output_count;
} pil_signature;
/* The values of one feature for `rows` rows, one after the other; one of the three arrays, of the receiver's type. */
typedef struct pil_request_input {
    const char *name;
    const float *floats;
    const int64_t *ints;
    const char *const *strings;
    const int64_t *offsets; /* of a feature of any number of values: [rows + 1]; else NULL */
} pil_request_input;
typedef struct pil_request {
    const char *signature; /* NULL: "serving_default" */
    int64_t rows;
    const pil_request_input *inputs;
    size_t input_count;
} pil_request;
/* Its inputs, written in place: PIL_INPUTS({ "age", .floats = ages }, { "day", .strings = days }). */
#define PIL_INPUTS(...)                                                                                                          \
    .inputs = (const pil_request_input[]){ __VA_ARGS__ },                                                                        \
    .input_count = sizeof((const pil_request_input[]){ __VA_ARGS__ }) / sizeof(pil_request_input)
/* One output of a run: [rows, width], row by row, until the next run of the same pil_prediction. */
typedef struct pil_output {
    const char *name;
    int64_t rows, width;
    const float *floats;        /* always */
    const int64_t *ints;        /* of int64 outputs, else NULL */
    const char *const *strings; /* of string outputs, else NULL */
} pil_output;
/* One caller's place in a predictor: zero at first, used by one thread at a time; freed with the predictor. */
typedef struct pil_prediction {
    struct pil_workspace *workspace; /* the predictor's */
} pil_prediction;

/* Opens an export, or the newest version below a folder. NULL with *status filled: a file that is missing, damaged (the checksum
 * tells) or of a newer version. */
PIL_API pil_predictor *pil_predictor_open(const char *folder, pil_status *status);
/* The i-th signature, or NULL beyond the last; it lives as long as the predictor. */
PIL_API const pil_signature *pil_predictor_describe(const pil_predictor *predictor, size_t i);
/* Runs a request. Any number of threads may run one predictor at once, each with a pil_prediction of its own. The first run of
 * a pil_prediction allocates, later ones of at most as many rows and values do not. *status is set, whatever was in it. False
 * with *status filled: an input that is missing, unknown or of another type (both named), a value that a column refuses (field
 * and row, from 1, named). */
PIL_API bool pil_predictor_run(pil_predictor *predictor, const pil_request *request, pil_prediction *result, pil_status *status);
/* An output of the last run by its name, or all of them (name NULL; *count of them). NULL: there is none of that name, or the
 * last run failed. */
PIL_API const pil_output *pil_predictor_outputs(const pil_prediction *result, const char *name, size_t *count);
/* Frees it with all its pil_predictions; none of them may be running. NULL is fine. */
PIL_API void pil_predictor_close(pil_predictor *predictor);

#ifdef __cplusplus
}
#endif

#endif
