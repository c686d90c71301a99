/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How near the dense products come to what the processor can do. For every layer of two models (A: 12-64-32-1, B:
 * 429-256-128-64-1) and tiles of 64 and 128 rows: forward (bias, ReLU), the gradient of the input (ReLU's gate) and of the
 * weights (accumulated), in GFLOP/s and percent of a probe that does nothing but multiply-adds in registers.
 *
 * The figure is the least time of many samples, probe and kernels interleaved: on a shared machine only minima say
 * anything, and clocks drift. Flops count the layer's own columns, not the pads.
 *
 *   kernel_gemm [--level c|avx2|avx512] [--ms MILLISECONDS_A_CELL] [--json]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe.h"

/* ---- cells ---- */

enum pass { FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT, PASSES };
static const char *const pass_name[PASSES] = { "fwd", "dX", "dW" };

/* A layer x[m, k] w[k, n] and what its three products touch. */
struct layer {
    int64_t m, k, n;
    float *x, *w, *w_transposed, *y, *dy, *dx, *dw, *bias;
};

static float *matrix(int64_t rows, int64_t cols)
{
    int64_t ld = pad_columns(cols);
    size_t bytes = ((size_t)(rows * ld) * sizeof(float) + 63) / 64 * 64;
    float *data = aligned_alloc(64, bytes);
    if (!data)
        exit(1);
    memset(data, 0, bytes);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++)
            data[r * ld + c] = (float)((r * 31 + c * 17) % 64 - 32) / 1024.0f;
    return data;
}

static struct layer layer_new(int64_t m, int64_t k, int64_t n)
{
    struct layer l = {
        m, k, n, matrix(m, k), matrix(k, n), matrix(n, k), matrix(m, n), matrix(m, n), matrix(m, k), matrix(k, n), matrix(1, n)
    };
    return l;
}

static void layer_free(struct layer *l)
{
    float *all[] = { l->x, l->w, l->w_transposed, l->y, l->dy, l->dx, l->dw, l->bias };
    for (size_t i = 0; i < COUNT_OF(all); i++)
        free(all[i]);
}

static struct gemm call_of(const struct layer *l, enum pass pass)
{
    int64_t k_ld = pad_columns(l->k), n_ld = pad_columns(l->n);
    switch (pass) {
    case FORWARD:
        return (struct gemm){ .m = l->m,
                              .n = l->n,
                              .k = l->k,
                              .a = l->x,
                              .a_row = k_ld,
                              .a_column = 1,
                              .b = l->w,
                              .ldb = n_ld,
                              .c = l->y,
                              .ldc = n_ld,
                              .bias = l->bias,
                              .activation = l->n > 1 ? ACTIVATION_RELU : ACTIVATION_LINEAR };
    case INPUT_GRADIENT:
        return (struct gemm){ .m = l->m,
                              .n = l->k,
                              .k = l->n,
                              .a = l->dy,
                              .a_row = n_ld,
                              .a_column = 1,
                              .b = l->w_transposed,
                              .ldb = k_ld,
                              .c = l->dx,
                              .ldc = k_ld,
                              .gate = l->x,
                              .gate_ld = k_ld };
    default:
        return (struct gemm){ .m = l->k,
                              .n = l->n,
                              .k = l->m,
                              .a = l->x,
                              .a_row = 1,
                              .a_column = k_ld,
                              .b = l->dy,
                              .ldb = n_ld,
                              .c = l->dw,
                              .ldc = n_ld,
                              .accumulate = true };
    }
}

/* The least seconds of one call; a sample is long enough for the clock. */
static double least(const struct kernels *kernels, const struct gemm *call, double seconds)
{
    double best = 1e9, flops = 2.0 * (double)(call->m * call->n * call->k);
    int repeat = (int)(1e6 / flops) + 1; /* some 20 us or one call */
    for (double start = bench_seconds(); bench_seconds() - start < seconds;) {
        double begin = bench_seconds();
        for (int i = 0; i < repeat; i++)
            kernels->gemm(call);
        best = MIN(best, (bench_seconds() - begin) / repeat);
    }
    return best;
}

struct cell {
    char model;
    int64_t m, k, n;
    double seconds[PASSES];
};
static const struct {
    char model;
    int64_t k, n;
} layers[] = { { 'A', 12, 64 },   { 'A', 64, 32 },  { 'A', 32, 1 }, { 'B', 429, 256 },
               { 'B', 256, 128 }, { 'B', 128, 64 }, { 'B', 64, 1 } };
static const int64_t tile_rows[] = { 64, 128 };
enum { CELLS = 2 * COUNT_OF(layers), ROUNDS = 5 };

static void measure(const struct kernels *kernels, struct cell *cell, double seconds)
{
    struct layer layer = layer_new(cell->m, cell->k, cell->n);
    for (int pass = 0; pass < PASSES; pass++) {
        struct gemm call = call_of(&layer, (enum pass)pass);
        double time = least(kernels, &call, seconds);
        cell->seconds[pass] = cell->seconds[pass] > 0 ? MIN(cell->seconds[pass], time) : time;
    }
    layer_free(&layer);
}

static double gflops(const struct cell *cell, int pass)
{
    return 2e-9 * (double)(cell->m * cell->k * cell->n) / cell->seconds[pass];
}

static void print_table(const struct kernels *kernels, const struct cell *cells, double peak)
{
    printf("level %s, %d lanes, probe %.1f GFLOP/s\n", kernels->level, kernels->lanes, peak);
    printf("model      M       K x N     fwd           dX            dW      (GFLOP/s and %% of the probe)\n");
    for (size_t i = 0; i < CELLS; i++) {
        const struct cell *c = &cells[i];
        printf("    %c  %5d  %4d x %-4d ", c->model, (int)c->m, (int)c->k, (int)c->n);
        for (int pass = 0; pass < PASSES; pass++)
            printf("  %6.1f %5.1f", gflops(c, pass), 100e9 * gflops(c, pass) / (1e9 * peak));
        printf("\n");
    }
    for (const char *model = "AB"; *model; model++)
        for (size_t s = 0; s < COUNT_OF(tile_rows); s++) {
            double flops = 0, seconds = 0;
            for (size_t i = 0; i < CELLS; i++)
                for (int pass = 0; pass < PASSES; pass++)
                    if (cells[i].model == *model && cells[i].m == tile_rows[s] && !(pass == INPUT_GRADIENT && cells[i].k == 12)) {
                        flops += 2e-9 * (double)(cells[i].m * cells[i].k * cells[i].n);
                        seconds += cells[i].seconds[pass];
                    }
            printf("model %c, M %d, all products: %.1f GFLOP/s, %.1f %%\n", *model, (int)tile_rows[s], flops / seconds,
                   100 * flops / seconds / peak);
        }
}

static void print_json(const struct kernels *kernels, const struct cell *cells, double peak)
{
    for (size_t i = 0; i < CELLS; i++)
        for (int pass = 0; pass < PASSES; pass++)
            printf("{\"bench\":\"kernel_gemm\",\"level\":\"%s\",\"model\":\"%c\",\"pass\":\"%s\",\"m\":%d,\"k\":%d,\"n\":%d,"
                   "\"us\":%.4f,\"gflops\":%.2f,\"probe_gflops\":%.2f,\"percent\":%.2f}\n",
                   kernels->level, cells[i].model, pass_name[pass], (int)cells[i].m, (int)cells[i].k, (int)cells[i].n,
                   1e6 * cells[i].seconds[pass], gflops(&cells[i], pass), peak, 100 * gflops(&cells[i], pass) / peak);
}

int main(int count, char **words)
{
    const struct kernels *kernels = kernel_get();
    double seconds = 0.015;
    bool json = false;
    for (int i = 1; i < count; i++) {
        if (strcmp(words[i], "--level") == 0 && i + 1 < count)
            kernels = kernel_level(words[++i]);
        else if (strcmp(words[i], "--ms") == 0 && i + 1 < count)
            seconds = 1e-3 * atof(words[++i]);
        else if (strcmp(words[i], "--json") == 0)
            json = true;
        else
            kernels = NULL;
        if (!kernels) {
            fprintf(stderr,
                    "kernel_gemm [--level c|avx2|avx512] [--ms MILLISECONDS_A_CELL] [--json], or a level this processor lacks\n");
            return 2;
        }
    }
    struct cell cells[CELLS];
    for (size_t i = 0; i < CELLS; i++) {
        size_t layer = i % COUNT_OF(layers);
        cells[i] = (struct cell){ layers[layer].model, tile_rows[i / COUNT_OF(layers)], layers[layer].k, layers[layer].n, { 0 } };
    }
    double peak = 0;
    for (int round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < CELLS; i++) {
            peak = MAX(peak, bench_peak(kernels->level, seconds / 5));
            measure(kernels, &cells[i], seconds / ROUNDS);
        }
    print_table(kernels, cells, 1e-9 * peak);
    if (json)
        print_json(kernels, cells, 1e-9 * peak);
    return 0;
}
