/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Places, checked on the plan itself, for random graphs: no two tensors that live at the same time share a byte, unless a step
 * writes over its own input; no value lies where another tensor has a pad; views lie within what they look at.
 */
#include "models.h"

/* A tensor's bytes in the memory that its place names: `rows` rows of `cols` values and pads up to `ld`. */
struct box {
    const struct plan_tensor *tensor;
    int64_t first, bytes;      /* all of it */
    int64_t row_bytes, values; /* of a row, and what of that is values */
    int from, to;              /* positions in the plan's order where it is written first and read last */
};

static struct box box_of(const struct plan *plan, int t, const int *from, const int *to)
{
    const struct plan_tensor *tensor = &plan->tensors[t];
    int64_t size = (int64_t)dtype_size(tensor->tensor->type.dtype), rows = TILE_ROWS, cols = tensor->cols;
    if (!plan_is_rows(plan, t))
        tensor_cut(tensor->tensor->type.shape, false, &rows, &cols);
    return (struct box){ tensor, tensor->offset, rows * tensor->ld * size, tensor->ld * size, cols * size, from[t], to[t] };
}

static int root_of(const struct plan *plan, int t)
{
    int64_t columns;
    return plan_root(plan, t, &columns);
}

/* When each tensor's memory is written first and read last, found anew from the steps. */
static void lifetimes(const struct plan *plan, int *from, int *to)
{
    for (int t = 0; t < plan->tensor_count; t++) {
        from[t] = plan->step_count;
        to[t] = -1;
    }
    for (int o = 0; o < plan->step_count; o++) {
        const struct step *step = &plan->steps[plan->order[o]];
        for (int i = 0; i < step->input_count; i++)
            to[root_of(plan, step->inputs[i])] = MAX(to[root_of(plan, step->inputs[i])], o);
        for (int i = 0; i < step->output_count; i++) {
            int root = root_of(plan, step->outputs[i]);
            from[root] = MIN(from[root], o);
            to[root] = MAX(to[root], o);
        }
    }
}

static bool overlap(const struct box *a, const struct box *b)
{
    return a->first < b->first + b->bytes && b->first < a->first + a->bytes;
}

/* Both are rows of the same pads, laid alike from the same byte; or neither has pads. */
static bool pads_agree(const struct box *a, const struct box *b)
{
    bool padded_a = a->values != a->row_bytes, padded_b = b->values != b->row_bytes;
    if (!padded_a && !padded_b)
        return true;
    return a->first == b->first && a->values == b->values && a->row_bytes == b->row_bytes;
}

/* The second one's step may write over the first, which nobody reads afterwards. */
static bool written_over(const struct plan *plan, const struct box *old, const struct box *new)
{
    const struct step *step = &plan->steps[plan->order[new->from]];
    return old->to == new->from && (step->row->flags & OP_IN_PLACE) &&
           old->first == new->first &&shape_equal(old->tensor->tensor->type.shape, new->tensor->tensor->type.shape);
}

static int check_pair(const struct plan *plan, const struct box *a, const struct box *b)
{
    const char *names[] = { a->tensor->tensor->node->name, b->tensor->tensor->node->name };
    if (!overlap(a, b))
        return 0;
    if (!pads_agree(a, b))
        fail_msg("%s and %s share memory, and their pads lie at different places", names[0], names[1]);
    bool together = a->from <= b->to && b->from <= a->to;
    if (together && !written_over(plan, a, b) && !written_over(plan, b, a))
        fail_msg("%s and %s live at the same time in the same memory", names[0], names[1]);
    return 1;
}

/* Returns how many pairs share tile memory. */
static int check_plan(const struct plan *plan)
{
    int *from = calloc((size_t)plan->tensor_count + 1, sizeof *from), *to = calloc((size_t)plan->tensor_count + 1, sizeof *to),
        shared = 0;
    assert_true(from && to);
    lifetimes(plan, from, to);
    for (int t = 0; t < plan->tensor_count; t++) {
        const struct plan_tensor *tensor = &plan->tensors[t];
        struct box a = box_of(plan, t, from, to);
        if (tensor->place == PLACE_TILE)
            assert_true(a.first >= 0 && a.first % 64 == 0 && a.first + a.bytes <= plan->tile_bytes);
        if (tensor->place == PLACE_STATIC)
            assert_true(a.first >= 0 && a.first % 64 == 0 && a.first + a.bytes <= (int64_t)plan->static_bytes);
        if (tensor->place == PLACE_PARTIAL) {
            size_t doubles = plan->stages[tensor->stage].partial_doubles;
            assert_true(a.first + a.bytes <= (int64_t)plan->stages[tensor->stage].partial_bytes);
            assert_true((tensor->tensor->type.dtype == DTYPE_FLOAT64) == (a.first < (int64_t)doubles)); /* doubles in front */
        }
        if (tensor->place == PLACE_COLUMNS) {
            const struct plan_tensor *base = &plan->tensors[tensor->base];
            assert_true(tensor->offset >= 0 && tensor->offset + tensor->cols <= base->cols && base->ld == tensor->ld);
        }
        for (int u = t + 1; u < plan->tensor_count; u++) {
            struct box b = box_of(plan, u, from, to);
            bool same_memory = plan->tensors[u].place == tensor->place &&
                               (tensor->place != PLACE_PARTIAL || plan->tensors[u].stage == tensor->stage);
            if (same_memory && tensor->place == PLACE_TILE)
                shared += check_pair(plan, &a, &b);
            else if (same_memory && (tensor->place == PLACE_STATIC || tensor->place == PLACE_PARTIAL))
                assert_false(overlap(&a, &b)); /* read until the end of the run */
            else if (same_memory && tensor->place == PLACE_BATCH)
                assert_true(tensor->offset != plan->tensors[u].offset);
        }
    }
    free(from);
    free(to);
    return shared;
}

static void no_two_live_tensors_overlap(void **state)
{
    (void)state;
    int shared = 0;
    for (uint64_t seed = 1; seed <= 120; seed++) {
        struct rig rig = rig_new();
        struct pil_tensor *loss = random_model(rig.graph, seed, 10 + (int)seed % 50);
        graph_gradients(rig.graph, loss);
        assert_ok(*graph_status(rig.graph));
        rig.plan = plan_compile(rig.graph, &loss, 1, &rig.status);
        assert_ok(rig.status);
        shared += check_plan(rig.plan);
        rig_free(&rig);
    }
    assert_true(shared > 1000);
}

/* Memory is used again: a chain of products needs two tiles of each width, not one a layer. */
static void tiles_are_used_again(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    struct pil_graph *g = rig.graph;
    struct pil_tensor *x = graph_input(g, "x", DTYPE_FLOAT32, SHAPE(BATCH_DIM, 40), false);
    for (int i = 0; i < 20; i++) {
        char name[16];
        snprintf(name, sizeof name, "w%d", i);
        x = graph_op2(g, "matmul", &(struct op_matmul_args){ 0 }, x, graph_variable(g, name, SHAPE(40, 40), model_zeros, false));
    }
    struct pil_tensor *loss = graph_op1(g, "sum_all", NULL, x);
    rig.plan = plan_compile(g, &loss, 1, &rig.status);
    assert_ok(rig.status);
    assert_int_equal(rig.plan->tile_bytes, 2 * TILE_ROWS * 48 * (int64_t)sizeof(float));
    check_plan(rig.plan);
    rig_free(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(no_two_live_tensors_overlap), cmocka_unit_test(tiles_are_used_again) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
