/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lookups through a graph: TensorFlow's figures forward and for the table's gradient, every form of ids against plain loops with
 * several tables in one node, lookups that write into a concat; indicators.
 */
#include "op/refusals.h"

#include "kernel/golden.h"
#include "pilaster/op.h"

enum { MOST_ENTRIES = 4096, MOST_TABLES = 3 };

/* Ids of a batch, ragged or one a row, with weights or without. */
struct ids {
    struct sparse sparse;
    int64_t offsets[MOST_ROWS + 1];
    int32_t ids[MOST_ENTRIES];
    float weights[MOST_ENTRIES];
};

/* One lookup node over `pairs` features and tables, its sum as the loss. */
struct lookups {
    pil_status status;
    struct pil_graph *graph;
    struct plan *plan;
    struct threads *threads;
    struct session *session;
    const struct kernels *kernels;
    struct tensor tables[MOST_TABLES], factors;
};

/* Tables have `stride` floats a row, as if a slot stood beside the weights. `wide`: the lookup is a column of a concat. */
static struct lookups start(const struct kernels *kernels, struct op_lookup_args args, int64_t table_rows, int64_t dim,
                            int threads, bool wide)
{
    struct lookups l = { .kernels = kernels };
    struct pil_graph *g = l.graph = graph_new(&l.status);
    struct pil_tensor *inputs[2 * MOST_TABLES];
    char name[32];
    for (int i = 0; i < args.pairs; i++) {
        snprintf(name, sizeof name, "ids%d", i);
        inputs[2 * i] = graph_input(g, name, DTYPE_INT32, SHAPE(BATCH_DIM), true);
        snprintf(name, sizeof name, "table%d", i);
        inputs[2 * i + 1] = graph_variable(g, name, SHAPE(table_rows, dim), (pil_initializer){ 0 }, true);
    }
    struct pil_tensor *factors = graph_input(g, "factors", DTYPE_FLOAT32, SHAPE(BATCH_DIM, dim), false);
    struct pil_tensor *y = graph_op(g, "lookup", &args, inputs, 2 * args.pairs, NULL), *read = y;
    if (wide) {
        struct pil_tensor *all = graph_op3(g, "concat", &(struct op_axis_args){ 1 }, factors, y, factors);
        read = graph_op1(g, "slice", &(struct op_slice_args){ 1, dim, dim }, all);
    }
    struct pil_tensor *loss = graph_op1(g, "sum_all", NULL, graph_op2(g, "mul", NULL, read, factors));
    graph_gradients(g, graph_op1(g, "cast", &(struct op_cast_args){ DTYPE_FLOAT32 }, loss));
    struct pil_tensor *fetch = wide ? graph_op1(g, "scale", &(struct op_scalar_args){ 1 }, read) : y;
    l.plan = plan_compile(g, &fetch, 1, &l.status);
    l.threads = threads_new(threads, &l.status);
    l.session = session_new(l.plan, l.threads, kernels, 1, &l.status);
    assert_ok(l.status);
    for (int i = 0; i < args.pairs; i++) {
        int64_t stride = 2 * (dim == 1 ? 1 : (dim + 3) / 4 * 4);
        struct tensor *table = &l.tables[i];
        *table = (struct tensor){ calloc((size_t)(table_rows * stride) + 4, sizeof(float)),
                                  DTYPE_FLOAT32,
                                  SHAPE(table_rows, dim),
                                  table_rows,
                                  dim,
                                  stride };
        assert_non_null(table->data);
        for (int64_t n = 0; n < table_rows * stride; n++)
            tensor_floats(table)[n] = (float)uniform(-1, 1);
        const struct graph_variable *variable = graph_variable_at(g, (size_t)i);
        assert_true(variable->lookup_only);
        struct session_variable where = { *table, -1, 0 };
        assert_true(session_bind(l.session, variable, &where, &l.status));
    }
    return l;
}

static void bind(struct lookups *l, int feature, const struct sparse *ids)
{
    char name[32];
    snprintf(name, sizeof name, "ids%d", feature);
    assert_true(session_input(l->session, name, &(struct op_value){ .sparse = *ids }));
}

static void run(struct lookups *l, int64_t rows)
{
    session_input(l->session, "factors", &(struct op_value){ .tensor = l->factors });
    session_run(l->session, rows, 1, NULL, 0, &l->status);
    assert_ok(l->status);
    assert_null(session_dirty_pad(l->session));
}

static void stop(struct lookups *l)
{
    session_free(l->session);
    threads_free(l->threads);
    plan_free(l->plan);
    graph_free(l->graph);
    tensor_free(&l->factors);
    for (int i = 0; i < MOST_TABLES; i++)
        free(l->tables[i].data);
}

/* A record as the optimizer reads it: entries grouped by id, coefficients, sums; here added to zeros [rows, dim]. */
static void table_gradient(const struct lookups *l, const struct session_record *record, const struct tensor *table, float *out)
{
    struct groups groups;
    size_t entries = (size_t)record->ids->entries + 1;
    void *scratch = calloc(sort_scratch((int64_t)entries) + 8, 1), *memory = calloc(sort_memory((int64_t)entries) + 8, 1);
    float *coefficients = calloc(entries, sizeof *coefficients);
    assert_true(scratch && memory && coefficients);
    sort_groups(record->ids, table->rows, scratch, memory, &groups);
    l->kernels->coefficients(&(struct coefficients){ record->ids, record->combiner, coefficients });
    struct update_rows call = { .table = tensor_floats(table),
                                .stride = table->ld,
                                .dim = table->cols,
                                .groups = &groups,
                                .count = groups.count,
                                .gradient = tensor_floats(&record->gradient),
                                .gradient_ld = record->gradient.ld,
                                .coefficient = coefficients,
                                .max_norm = record->max_norm };
    l->kernels->sum_groups(&call, out, table->cols);
    free(scratch);
    free(memory);
    free(coefficients);
}

/* ---- TensorFlow's figures ---- */

/* A list of lists: ids of each row. */
static void read_ids(const struct json_value *list, const struct json_value *weights, struct ids *out)
{
    struct json_value row, id;
    int64_t rows = 0, entries = 0, weight_rows = 0;
    float numbers[16 * 32];
    int64_t lengths[16];
    if (weights->kind == JSON_LIST)
        weight_rows = golden_rows(weights, numbers, 32, lengths);
    for (struct json_walk walk = json_children(list); json_next(&walk, NULL, &row); rows++) {
        int64_t in_row = 0;
        for (struct json_walk inner = json_children(&row); json_next(&inner, NULL, &id); in_row++, entries++) {
            out->ids[entries] = (int32_t)id.number;
            out->weights[entries] = weight_rows ? numbers[rows * 32 + in_row] : 1;
        }
        out->offsets[rows + 1] = entries;
    }
    out->sparse = (struct sparse){
        .rows = rows, .entries = entries, .offsets = out->offsets, .ids = out->ids, .weights = weight_rows ? out->weights : NULL
    };
}

static void try_golden(const struct json_value *item, const struct kernels *kernels, bool wide)
{
    static struct ids ids;
    static float table[64 * 16], want[64 * 16], got[64 * 16], grad[64 * 16], table_grad[64 * 16], got_grad[64 * 16];
    struct json_value values = golden_get(item, "table"), list = golden_get(item, "ids"), weights = golden_get(item, "weights");
    struct json_value output = golden_get(item, "output"), output_grad = golden_get(item, "output_grad"),
                      of_table = golden_get(item, "table_grad");
    struct slice word = golden_get(item, "combiner").text;
    struct op_lookup_args args = { slice_is(word, "sum")    ? COMBINER_SUM
                                   : slice_is(word, "mean") ? COMBINER_MEAN
                                                            : COMBINER_SQRTN,
                                   golden_number(item, "max_norm", 0), 1 };
    int64_t lengths[64], rows = golden_rows(&values, table, 16, lengths), dim = lengths[0];
    read_ids(&list, &weights, &ids);
    struct lookups l = start(kernels, args, rows, dim, 1, wide);
    for (int64_t r = 0; r < rows; r++)
        memcpy(tensor_floats(&l.tables[0]) + r * l.tables[0].ld, table + r * 16, (size_t)dim * sizeof(float));
    assert_true(tensor_new(&l.factors, DTYPE_FLOAT32, SHAPE(ids.sparse.rows, dim), true, &l.status));
    golden_rows(&output_grad, grad, dim, NULL);
    tensor_unpack(grad, &l.factors);
    bind(&l, 0, &ids.sparse);
    run(&l, ids.sparse.rows);
    golden_rows(&output, want, dim, NULL);
    tensor_pack(&session_fetch(l.session, 0)->tensor, got);
    assert_true(golden_error(got, want, ids.sparse.rows * dim, 1) < 1e-6);
    const struct session_record *records;
    assert_int_equal(session_records(l.session, &records), 1);
    assert_string_equal(records[0].variable->name, "table0");
    memset(got_grad, 0, sizeof got_grad);
    table_gradient(&l, &records[0], &l.tables[0], got_grad);
    golden_rows(&of_table, table_grad, dim, NULL);
    assert_true(golden_error(got_grad, table_grad, rows * dim, 1) < 2e-6);
    stop(&l);
}

static void golden(void **state)
{
    (void)state;
    struct golden file;
    struct json_value item;
    int count = 0;
    assert_true(golden_open(&file, "tests/golden/embedding_lookup.json"));
    struct json_value cases = golden_get(&file.root, "cases");
    for (struct json_walk walk = json_children(&cases); json_next(&walk, NULL, &item); count++)
        for (size_t l = 0; l < COUNT_OF(level_names); l++)
            for (int wide = 0; kernel_level(level_names[l]) && wide < 2; wide++)
                try_golden(&item, kernel_level(level_names[l]), wide);
    assert_true(count >= 12);
    golden_close(&file);
}

/* ---- against plain loops ---- */

static void draw_ids(struct ids *ids, int64_t rows, int64_t limit, bool ragged, bool weighted)
{
    int64_t entries = 0;
    for (int64_t r = 0; r < rows; r++) {
        int64_t in_row = ragged ? (int64_t)uniform(0, 4) : 1;
        for (int64_t e = 0; e < in_row; e++, entries++) {
            ids->ids[entries] = (int32_t)floor(uniform(-1, (double)limit));
            ids->weights[entries] = (float)uniform(-0.3, 1);
        }
        ids->offsets[r + 1] = entries;
    }
    ids->sparse = (struct sparse){ .rows = rows,
                                   .entries = entries,
                                   .offsets = ragged ? ids->offsets : NULL,
                                   .ids = ids->ids,
                                   .weights = weighted ? ids->weights : NULL };
}

/* Adds row r's combination to out[dim], and d times its derivatives to gradient[limit][dim]. */
static void combine(const struct ids *ids, int64_t r, enum combiner combiner, const struct tensor *table, const double *d,
                    double *out, double *gradient)
{
    const struct sparse *s = &ids->sparse;
    int64_t first = s->offsets ? s->offsets[r] : r, last = s->offsets ? s->offsets[r + 1] : r + 1;
    double weights = 0, squares = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t e = first; e < last; e++) {
            double w = s->weights ? (double)s->weights[e] : 1;
            if (s->ids[e] < 0 || (combiner != COMBINER_SUM && w <= 0))
                continue;
            weights += pass == 0 ? w : 0;
            squares += pass == 0 ? w * w : 0;
            double c = combiner == COMBINER_SUM ? w : combiner == COMBINER_MEAN ? w / weights : w / sqrt(squares);
            for (int64_t k = 0; pass == 1 && k < table->cols; k++) {
                out[k] += c * (double)tensor_floats(table)[s->ids[e] * table->ld + k];
                gradient[s->ids[e] * table->cols + k] += c * d[k];
            }
        }
}

static void check(struct lookups *l, const struct ids *ids, struct op_lookup_args args, int64_t rows, int64_t limit, int64_t dim)
{
    const struct tensor *got = &session_fetch(l->session, 0)->tensor;
    double *gradients[MOST_TABLES];
    for (int i = 0; i < args.pairs; i++)
        gradients[i] = doubles(limit * dim);
    for (int64_t r = 0; r < rows; r++) {
        double want[64] = { 0 }, d[64];
        for (int64_t k = 0; k < dim; k++)
            d[k] = (double)tensor_floats(&l->factors)[r * l->factors.ld + k];
        for (int i = 0; i < args.pairs; i++)
            combine(&ids[i], r, args.combiner, &l->tables[i], d, want, gradients[i]);
        for (int64_t k = 0; k < dim; k++)
            if (fabs(result_at(got, r * dim + k) - want[k]) > 4e-6 * (1 + fabs(want[k])))
                fail_msg("row %lld, column %lld: %g, not %g", (long long)r, (long long)k, result_at(got, r * dim + k), want[k]);
    }
    const struct session_record *records;
    assert_int_equal(session_records(l->session, &records), args.pairs);
    for (int i = 0; i < args.pairs; i++) {
        int table = records[i].variable->name[5] - '0';
        float *sums = calloc((size_t)(limit * dim), sizeof *sums);
        assert_non_null(sums);
        table_gradient(l, &records[i], &l->tables[table], sums);
        for (int64_t n = 0; n < limit * dim; n++)
            assert_true(fabs((double)sums[n] - gradients[table][n]) < 2e-5 * (1 + fabs(gradients[table][n])));
        free(sums);
    }
    for (int i = 0; i < args.pairs; i++)
        free(gradients[i]);
}

static void try_form(const struct kernels *kernels, struct op_lookup_args args, int64_t dim, int form, bool wide)
{
    static struct ids ids[MOST_TABLES];
    static const int64_t sizes[] = { 1, 3, 64, 65, MOST_ROWS };
    enum { LIMIT = 13 };
    struct lookups l = start(kernels, args, LIMIT, dim, 2, wide);
    for (size_t s = 0; s < COUNT_OF(sizes); s++) {
        tensor_free(&l.factors);
        assert_true(tensor_new(&l.factors, DTYPE_FLOAT32, SHAPE(sizes[s], dim), true, &l.status));
        for (int64_t r = 0; r < sizes[s]; r++)
            for (int64_t k = 0; k < dim; k++)
                tensor_floats(&l.factors)[r * l.factors.ld + k] = (float)uniform(-1, 1);
        for (int i = 0; i < args.pairs; i++) {
            draw_ids(&ids[i], sizes[s], LIMIT, (form + i) % 2, (form + i) / 2 % 2);
            bind(&l, i, &ids[i].sparse);
        }
        run(&l, sizes[s]);
        check(&l, ids, args, sizes[s], LIMIT, dim);
    }
    stop(&l);
}

static void every_form(void **state)
{
    (void)state;
    static const int64_t dims[] = { 1, 4, 10, 16, 33 };
    for (size_t l = 0; l < COUNT_OF(level_names); l++)
        for (size_t d = 0; kernel_level(level_names[l]) && d < COUNT_OF(dims); d++)
            for (int combiner = COMBINER_SUM; combiner <= COMBINER_SQRTN; combiner++)
                for (int form = 0; form < 4; form++)
                    for (int pairs = 1; pairs <= MOST_TABLES; pairs++)
                        try_form(kernel_level(level_names[l]), (struct op_lookup_args){ (enum combiner)combiner, 0, pairs },
                                 dims[d], form, pairs == 2);
}

/* ---- dense ids ---- */

struct dense_case {
    struct shape ids; /* rows, or fixed */
    int64_t dim;
    enum dtype dtype;
};

/* Rows of a table by dense ids through a record: values, and the gradient put together from it, against plain loops. */
static void try_dense(const struct dense_case *c, const struct kernels *kernels, int64_t rows, int threads)
{
    enum { TABLE_ROWS = 13 };
    bool by_rows = has_rows(c->ids);
    int64_t count = elements(c->ids, rows), dim = c->dim;
    struct shape out = c->ids;
    out.dims[out.rank++] = dim;
    float *list = calloc((size_t)count + 1, sizeof *list);
    double *want = doubles(TABLE_ROWS * dim);
    struct lookups l = { .kernels = kernels };
    struct pil_graph *g = l.graph = graph_new(&l.status);
    assert_non_null(list);
    for (int64_t n = 0; n < count; n++)
        list[n] = (float)floor(uniform(0, TABLE_ROWS));
    struct pil_tensor *ids = by_rows ? graph_input(g, "ids", DTYPE_FLOAT32, c->ids, false) : graph_constant(g, c->ids, list);
    if (c->dtype != DTYPE_FLOAT32)
        ids = graph_op1(g, "cast", &(struct op_cast_args){ c->dtype }, ids);
    struct pil_tensor *table = graph_variable(g, "table0", SHAPE(TABLE_ROWS, dim), (pil_initializer){ 0 }, true);
    struct pil_tensor *y = pil_embedding_lookup(g, table, ids),
                      *squares = graph_op1(g, "sum_all", NULL, graph_op1(g, "square", NULL, y));
    assert_true(shape_equal(y->type.shape, out) && strcmp(y->node->row->name, "embedding_lookup") == 0);
    graph_gradients(g, graph_op1(g, "cast", &(struct op_cast_args){ DTYPE_FLOAT32 }, squares));
    l.plan = plan_compile(g, &y, 1, &l.status);
    l.threads = threads_new(threads, &l.status);
    l.session = session_new(l.plan, l.threads, kernels, 1, &l.status);
    assert_ok(l.status);
    int64_t stride = 2 * ((dim + 3) / 4 * 4); /* as if a slot stood beside the weights */
    l.tables[0] = (struct tensor){
        calloc((size_t)(TABLE_ROWS * stride), sizeof(float)), DTYPE_FLOAT32, SHAPE(TABLE_ROWS, dim), TABLE_ROWS, dim, stride
    };
    for (int64_t n = 0; n < TABLE_ROWS * stride; n++)
        tensor_floats(&l.tables[0])[n] = (float)uniform(-1, 1);
    assert_true(graph_variable_at(g, 0)->lookup_only);
    assert_true(session_bind(l.session, graph_variable_at(g, 0), &(struct session_variable){ l.tables[0], -1, 0 }, &l.status));
    if (by_rows) {
        assert_true(tensor_new(&l.factors, DTYPE_FLOAT32, shape_with_batch(c->ids, rows), true, &l.status));
        tensor_unpack(list, &l.factors);
        session_input(l.session, "ids", &(struct op_value){ .tensor = l.factors });
    }
    for (int pass = 0; pass < 2; pass++) {
        size_t before = mem_allocations();
        session_run(l.session, rows, 1, NULL, 0, &l.status);
        assert_ok(l.status);
        assert_true(pass == 0 || mem_allocations() == before);
    }
    const struct session_record *records;
    assert_int_equal(session_records(l.session, &records), 1);
    assert_true(records[0].ids->rows == count && records[0].ids->entries == count && !records[0].ids->offsets);
    for (int64_t n = 0; n < count * dim; n++) {
        double value = (double)tensor_floats(&l.tables[0])[(int64_t)list[n / dim] * stride + n % dim];
        assert_true(result_at(&session_fetch(l.session, 0)->tensor, n) == value);
        want[(int64_t)list[n / dim] * dim + n % dim] += 2 * value;
    }
    float *sums = calloc((size_t)(TABLE_ROWS * dim), sizeof *sums);
    assert_non_null(sums);
    table_gradient(&l, &records[0], &l.tables[0], sums);
    for (int64_t n = 0; n < TABLE_ROWS * dim; n++)
        assert_true(fabs((double)sums[n] - want[n]) < 2e-5 * (1 + fabs(want[n])));
    free(sums);
    free(want);
    free(list);
    stop(&l);
}

static void dense_ids(void **state)
{
    (void)state;
    static const struct dense_case list[] = {
        { { 1, { BATCH_DIM } }, 4, DTYPE_FLOAT32 },
        { { 1, { BATCH_DIM } }, 1, DTYPE_INT32 },
        { { 2, { BATCH_DIM, 1 } }, 5, DTYPE_FLOAT32 },
        { { 2, { BATCH_DIM, 3 } }, 4, DTYPE_INT64 },
        { { 2, { BATCH_DIM, 3 } }, 16, DTYPE_FLOAT32 },
        { { 2, { BATCH_DIM, 3 } }, 1, DTYPE_FLOAT32 },
        { { 3, { BATCH_DIM, 2, 2 } }, 10, DTYPE_FLOAT32 },
        { { 2, { BATCH_DIM, 20 } }, 3, DTYPE_INT32 },
        { { 1, { 5 } }, 4, DTYPE_FLOAT32 },
        { { 2, { 2, 3 } }, 4, DTYPE_INT64 },
        { { 0, { 0 } }, 4, DTYPE_FLOAT32 },
    };
    static const int64_t sizes[] = { 1, 3, 65, MOST_ROWS };
    for (size_t i = 0; i < COUNT_OF(list); i++)
        for (size_t k = 0; k < COUNT_OF(level_names); k++)
            for (size_t s = 0; kernel_level(level_names[k]) && s < COUNT_OF(sizes); s++)
                try_dense(&list[i], kernel_level(level_names[k]), sizes[s], 1 + (int)(s % 2) * 2);
}

/* What the public functions make of tables and ids, and what they refuse. */
static void public_lookups(void **state)
{
    (void)state;
    pil_status status = { 0 };
    for (int k = 0; k < 6; k++) {
        struct pil_graph *g = graph_new(&status);
        struct pil_tensor *sparse = graph_input(g, "sparse", DTYPE_INT32, SHAPE(BATCH_DIM), true);
        struct pil_tensor *dense = graph_input(g, "dense", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 2), false);
        struct pil_tensor *table = graph_variable(g, "table", SHAPE(5, 3), (pil_initializer){ 0 }, true),
                          *computed = graph_op1(g, "square", NULL, table);
        static const char *const says[] = { "the ids sparse are sparse", "the ids dense are dense", "there is no combiner 'max'",
                                            "input 1 is NULL" };
        if (k == 0) {
            struct pil_tensor *y = pil_embedding_lookup_sparse(g, table, sparse, .max_norm = 2.0f);
            const struct op_lookup_args *args = y->node->args;
            assert_true(args->combiner == COMBINER_MEAN && args->max_norm == 2.0f && args->pairs == 1 && args->foreign);
            args = pil_embedding_lookup_sparse(g, table, sparse, .combiner = "sqrtn")->node->args;
            assert_int_equal(args->combiner, COMBINER_SQRTN);
            assert_string_equal(pil_embedding_lookup(g, computed, dense)->node->row->name, "gather");
        }
        struct pil_tensor *error = k == 2   ? pil_embedding_lookup(g, table, sparse)
                                   : k == 3 ? pil_embedding_lookup_sparse(g, table, dense)
                                   : k == 4 ? pil_embedding_lookup_sparse(g, table, sparse, .combiner = "max")
                                   : k == 5 ? pil_embedding_lookup(g, table, NULL)
                                            : graph_error_tensor(g);
        assert_ptr_equal(error, graph_error_tensor(g));
        if (k >= 2 && !strstr(graph_status(g)->message, says[k - 2]))
            fail_msg("%s", graph_status(g)->message);
        assert_true(k >= 2 || status_ok(graph_status(g)));
        graph_free(g);
    }
}

/* An id beyond the table, of a sparse tensor that was not made for it. */
static void a_foreign_id(void **state)
{
    (void)state;
    static struct ids ids;
    static const char want[] = "lookup: id 9 of row 200 of the batch is not below the table's 9 rows";
    for (int ragged = 0; ragged < 2; ragged++) {
        struct op_lookup_args args = { .pairs = 1, .foreign = true };
        struct lookups l = start(kernel_get(), args, 9, 4, 2, false);
        assert_true(tensor_new(&l.factors, DTYPE_FLOAT32, SHAPE(MOST_ROWS, 4), true, &l.status));
        draw_ids(&ids, MOST_ROWS, 9, false, false);
        for (int64_t r = 0; r < MOST_ROWS; r++)
            ids.offsets[r + 1] = r + 1;
        ids.sparse.offsets = ragged ? ids.offsets : NULL;
        bind(&l, 0, &ids.sparse);
        run(&l, MOST_ROWS);
        ids.ids[200] = 9;
        assert_false(session_run(l.session, MOST_ROWS, 1, NULL, 0, &l.status));
        assert_int_equal(l.status.code, PIL_BAD_DATA);
        if (strcmp(l.status.message, want) != 0)
            fail_msg("%s", l.status.message);
        status_clear(&l.status);
        stop(&l);
    }
}

/* ---- indicator ---- */

static void indicator(void **state)
{
    (void)state;
    enum { DEPTH = 11 };
    static struct ids ids;
    for (int form = 0; form < 4; form++) {
        pil_status status = { 0 };
        struct pil_graph *g = graph_new(&status);
        struct pil_tensor *input = graph_input(g, "ids", DTYPE_INT32, SHAPE(BATCH_DIM), true);
        struct pil_tensor *y = graph_op1(g, "indicator", &(struct op_indicator_args){ DEPTH }, input);
        struct pil_tensor *twice = graph_op2(g, "concat", &(struct op_axis_args){ 1 }, y,
                                             graph_op1(g, "indicator", &(struct op_indicator_args){ DEPTH }, input));
        struct pil_tensor *fetches[] = { y, twice };
        struct plan *plan = plan_compile(g, fetches, 2, &status);
        struct threads *threads = threads_new(2, &status);
        struct session *session = session_new(plan, threads, kernel_get(), 1, &status);
        assert_ok(status);
        draw_ids(&ids, MOST_ROWS, DEPTH + 3, form % 2, form / 2); /* some ids lie beyond the depth */
        session_input(session, "ids", &(struct op_value){ .sparse = ids.sparse });
        for (int pass = 0; pass < 2; pass++) {
            session_poison(session);
            assert_true(session_run(session, MOST_ROWS, 1, NULL, 0, &status));
            assert_null(session_dirty_pad(session));
        }
        for (int64_t r = 0; r < MOST_ROWS; r++) {
            float want[DEPTH] = { 0 };
            int64_t first = form % 2 ? ids.offsets[r] : r, last = form % 2 ? ids.offsets[r + 1] : r + 1;
            for (int64_t e = first; e < last; e++)
                if (ids.ids[e] >= 0 && ids.ids[e] < DEPTH)
                    want[ids.ids[e]] += form / 2 ? ids.weights[e] : 1;
            for (int64_t k = 0; k < DEPTH; k++) {
                assert_true(result_at(&session_fetch(session, 0)->tensor, r * DEPTH + k) == (double)want[k]);
                assert_true(result_at(&session_fetch(session, 1)->tensor, r * 2 * DEPTH + DEPTH + k) == (double)want[k]);
            }
        }
        session_free(session);
        threads_free(threads);
        plan_free(plan);
        graph_free(g);
    }
}

static void refusals(void **state)
{
    (void)state;
    static const struct op_lookup_args one = { .pairs = 1 }, two = { .pairs = 2 }, none = { .pairs = 0 },
                                       odd = { .combiner = (enum combiner)7, .pairs = 1 },
                                       negative = { .max_norm = -1, .pairs = 1 };
    static const struct op_indicator_args five = { 5 }, zero = { 0 };
    static const struct refusal list[] = {
        { "lookup", &one, "input 1 must be ids per row", 2, { ROWS_OF(3), DENSE(5, 3) } },
        { "lookup", &one, "input 2 must be a float32 table", 2, { IDS, DENSE(5) } },
        { "lookup", &one, "input 2 must be a float32 table", 2, { IDS, ROWS_OF(5) } },
        { "lookup", &one, "input 2 must be a float32 table", 2, { IDS, FLOAT64(5, 3) } },
        { "lookup", &one, "input 2 must be a float32 table", 2, { IDS, IDS } },
        { "lookup", &one, "stand there twice", 2, { IDS, TURNED(5) } },
        { "lookup", &two, "2 pairs of ids and table need 4 inputs, got 2", 2, { IDS, DENSE(5, 3) } },
        { "lookup", &none, "0 pairs of ids and table need 0 inputs, got 2", 2, { IDS, DENSE(5, 3) } },
        { "lookup", &two, "the tables' dimensions 3 and 4 differ", 4, { IDS, DENSE(5, 3), IDS, DENSE(5, 4) } },
        { "lookup", &odd, "unknown combiner", 2, { IDS, DENSE(5, 3) } },
        { "lookup", &negative, "a max_norm below 0", 2, { IDS, DENSE(5, 3) } },
        { "lookup", &one, "takes 2 or more inputs, got 1", 1, { IDS } },
        { "lookup_gradient", &one, "ids, the output's gradient and the table are needed", 3, { IDS, DENSE(5, 3), DENSE(5, 3) } },
        { "indicator", &five, "needs ids per row", 1, { ROWS_OF(3) } },
        { "indicator", &zero, "a depth of at least 1", 1, { IDS } },
    };
    check_refusals(list, COUNT_OF(list));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(golden),       cmocka_unit_test(every_form),
                                        cmocka_unit_test(dense_ids),    cmocka_unit_test(public_lookups),
                                        cmocka_unit_test(a_foreign_id), cmocka_unit_test(indicator),
                                        cmocka_unit_test(refusals) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
