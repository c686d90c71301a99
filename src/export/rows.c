/* SPDX-License-Identifier: Apache-2.0 */
/* Predictions of an export for the rows of a file: the feed of training and evaluation, with the export's own columns. */
#include "export/export.h"

static bool each_batch(pil_predictor *predictor, const struct predict_rows *rows, struct feed *feed, pil_prediction *result,
                       pil_status *status)
{
    size_t count;
    for (const struct batch *batch; (batch = feed_next(feed, status)) != NULL;) {
        if (!predictor_run_batch(predictor, rows->signature, batch, result, status))
            return false;
        const pil_output *outputs = pil_predictor_outputs(result, NULL, &count);
        if (!rows->batch(rows->context, outputs, count, batch, status))
            return false;
    }
    return status_ok(status);
}

bool predictor_predict(pil_predictor *predictor, const struct predict_rows *rows, pil_status *status)
{
    enum { BATCH = 1024 };
    struct threads *threads = threads_new(rows->threads, status);
    pil_prediction result = { 0 };
    const struct feed_options options = { .paths = &rows->data,
                                          .path_count = 1,
                                          .format = "csv",
                                          .csv = { .header = true },
                                          .order = { .batch_size = BATCH, .epochs = 1 },
                                          .targets_optional = true,
                                          .keep_fields = rows->keep_count > 0,
                                          .extra = rows->keep,
                                          .extra_count = rows->keep_count };
    struct feed *feed = threads && predictor_place(predictor, threads, &result, status)
                            ? feed_open(predictor_program(predictor), &options, threads, status)
                            : NULL;
    bool done = feed && each_batch(predictor, rows, feed, &result, status);
    feed_close(feed);
    predictor_leave(predictor, &result);
    threads_free(threads);
    return done;
}
