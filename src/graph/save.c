/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A graph as text, and back. Written is what some tensors need, in the graph's order, so that the loaded graph compiles to the
 * same plan; read is what building it anew would make, so that every shape rule speaks again and no number in the file is
 * believed:
 *
 *     graph {version: 1}
 *     input {name: numbers, dtype: float32, shape: [-1, 3], sparse: false}
 *     variable {name: weight, shape: [3, 1]}
 *     op {op: matmul, name: matmul, inputs: [0, 1], args: {transpose_a: false, ...}}
 *     wanted {tensors: [2]}
 *
 * Nodes count from 0; "4.1" is the second output of node 4. How an op's arguments are written is its row's (op_arguments): an
 * argument that is added has the old behaviour as its default; one that is renamed, or means something else, makes a new version.
 */
#include <string.h>

#include "graph/internal.h"

enum { VERSION = 1 };

/* ---- writing ------------------------------------------------------------------------------------------------- */

static void put_text(struct text *out, const char *text)
{
    ARG_TEXT.print(NULL, &text, out);
}

static void put_shape(struct text *out, struct shape shape)
{
    text_append_text(out, "[");
    for (int i = 0; i < shape.rank; i++)
        text_format(out, "%s%lld", i ? ", " : "", (long long)shape.dims[i]);
    text_append_text(out, "]");
}

static void put_tensors(struct text *out, struct pil_tensor *const *tensors, size_t count, const int *numbers)
{
    text_append_text(out, "[");
    for (size_t i = 0; i < count; i++) {
        text_format(out, "%s%d", i ? ", " : "", numbers[tensors[i]->node->number]);
        if (tensors[i]->index)
            text_format(out, ".%d", tensors[i]->index);
    }
    text_append_text(out, "]");
}

static bool put_constant(struct text *out, const struct node *node, pil_status *status)
{
    const struct tensor *constant = &node->constant;
    size_t count = (size_t)shape_elements(constant->shape);
    float *values = mem_array(MAX(count, 1), sizeof *values, status);
    if (!values)
        return false;
    tensor_pack(constant, values);
    text_append_text(out, "constant {shape: ");
    put_shape(out, constant->shape);
    text_append_text(out, ", values: ");
    ARG_FLOATS.print(NULL, &(struct arg_floats){ values, count }, out);
    text_append_text(out, "}\n");
    mem_free(values);
    return true;
}

static bool put_op(struct text *out, const struct node *node, const int *numbers, pil_status *status)
{
    struct arg_table table = op_arguments(node->row);
    if (node->row->args_size && !table.arg_count)
        return status_fail(status, PIL_UNSUPPORTED, "%s: the op '%s' cannot be exported", node->name, node->row->name);
    text_append_text(out, "op {op: ");
    put_text(out, node->row->name);
    text_append_text(out, ", name: ");
    put_text(out, node->name);
    text_append_text(out, ", inputs: ");
    put_tensors(out, node->inputs, (size_t)node->input_count, numbers);
    text_append_text(out, ", args: ");
    args_print(&table, node->args, out);
    text_append_text(out, "}\n");
    return true;
}

static bool put_node(struct text *out, const struct node *node, const int *numbers, pil_status *status)
{
    const struct op_type *type = &node->outputs[0].type;
    if (node->name && !utf8_valid(slice_text(node->name)))
        return status_fail(status, PIL_UNSUPPORTED, "'%s' cannot be exported: its name is not UTF-8", node->name);
    switch (node->kind) {
    case NODE_INPUT:
        text_append_text(out, "input {name: ");
        put_text(out, node->name);
        text_format(out, ", dtype: %s, shape: ", dtype_name(type->dtype));
        put_shape(out, type->shape);
        text_format(out, ", sparse: %s}\n", type->sparse ? "true" : "false");
        return true;
    case NODE_VARIABLE:
        text_append_text(out, "variable {name: ");
        put_text(out, node->name);
        text_append_text(out, ", shape: ");
        put_shape(out, node->variable->shape);
        text_append_text(out, "}\n");
        return true;
    case NODE_CONSTANT:
        return put_constant(out, node, status);
    case NODE_OP:
        break;
    }
    return put_op(out, node, numbers, status);
}

/* numbers[n]: -1, or what node n is called in the file. */
static void number_needed(const struct pil_graph *graph, int *numbers)
{
    int next = 0;
    for (size_t i = graph->node_count; i-- > 0;)
        for (int k = 0; numbers[i] >= 0 && k < graph->nodes[i]->input_count; k++)
            numbers[graph->nodes[i]->inputs[k]->node->number] = 0;
    for (size_t i = 0; i < graph->node_count; i++)
        if (numbers[i] >= 0)
            numbers[i] = next++;
}

bool graph_save(const struct pil_graph *graph, struct pil_tensor *const *wanted, size_t count, struct text *out,
                pil_status *status)
{
    if (!status_ok(&graph->status)) {
        *status = status_ok(status) ? graph->status : *status;
        return false;
    }
    int *numbers = mem_array(graph->node_count + 1, sizeof *numbers, status);
    bool done = numbers != NULL;
    for (size_t i = 0; done && i < graph->node_count; i++)
        numbers[i] = -1;
    for (size_t i = 0; done && i < count; i++) {
        size_t number = (size_t)wanted[i]->node->number;
        done = number < graph->node_count && graph->nodes[number] == wanted[i]->node;
        if (done)
            numbers[number] = 0;
        else
            status_fail(status, PIL_INVALID_ARGUMENT, "%s belongs to another graph", wanted[i]->node->name);
    }
    if (done)
        number_needed(graph, numbers);
    text_format(out, "graph {version: %d}\n", VERSION);
    for (size_t i = 0; done && i < graph->node_count; i++)
        done = numbers[i] < 0 || put_node(out, graph->nodes[i], numbers, status);
    if (done) {
        text_append_text(out, "wanted {tensors: ");
        put_tensors(out, wanted, count, numbers);
        text_append_text(out, "}\n");
    }
    mem_free(numbers);
    return done && text_ok(out, status);
}

/* ---- records ------------------------------------------------------------------------------------------------- */

struct record { /* what any of them has */
    int64_t version;
    const char *name, *op, *dtype;
    bool sparse;
    struct arg_ints shape;
    struct arg_floats values;
    struct arg_texts tensors;
    const struct value *args;
};
#define MEMBER(member) .offset = offsetof(struct record, member), .required = true
static const struct arg graph_members[] = { { .name = "version", .type = &ARG_INT, MEMBER(version) } };
static const struct arg input_members[] = {
    { .name = "name", .type = &ARG_TEXT, MEMBER(name) },
    { .name = "dtype", .type = &ARG_TEXT, MEMBER(dtype) },
    { .name = "shape", .type = &ARG_INTS, MEMBER(shape) },
    { .name = "sparse", .type = &ARG_BOOL, MEMBER(sparse) },
};
static const struct arg variable_members[] = {
    { .name = "name", .type = &ARG_TEXT, MEMBER(name) },
    { .name = "shape", .type = &ARG_INTS, MEMBER(shape) },
};
static const struct arg constant_members[] = {
    { .name = "shape", .type = &ARG_INTS, MEMBER(shape) },
    { .name = "values", .type = &ARG_FLOATS, MEMBER(values) },
};
static const struct arg op_members[] = {
    { .name = "op", .type = &ARG_TEXT, MEMBER(op) },
    { .name = "name", .type = &ARG_TEXT, MEMBER(name) },
    { .name = "inputs", .type = &ARG_TEXTS, MEMBER(tensors) },
    { .name = "args", .type = &ARG_VALUE, MEMBER(args) },
};
static const struct arg wanted_members[] = { { .name = "tensors", .type = &ARG_TEXTS, MEMBER(tensors) } };

/* ---- reading ------------------------------------------------------------------------------------------------- */

struct load {
    struct flow_reader *reader;
    struct pil_graph *graph;
    struct arena *scratch; /* a record's values */
    struct pil_tensor ***wanted;
    size_t *wanted_count;
    bool ended;
    pil_status *status;
};

static bool fail(const struct load *load, const char *what)
{
    return flow_fail(load->reader, load->status, what);
}

static bool shape_of(const struct load *load, const struct arg_ints *list, struct shape *shape)
{
    if (list->count > SHAPE_MAX_RANK)
        return fail(load, "a shape has too many axes");
    *shape = (struct shape){ .rank = (int)list->count };
    for (size_t i = 0; i < list->count; i++)
        shape->dims[i] = list->items[i];
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i] < -1)
            return fail(load, "a shape has a negative axis");
    return true;
}

/* "4" or "4.1". */
static struct pil_tensor *tensor_of(const struct load *load, const char *text)
{
    const char *point = strchr(text, '.');
    int64_t number, index = 0;
    bool fits = parse_int64(slice_of(text, point ? (size_t)(point - text) : strlen(text)), &number) &&
                (!point || parse_int64(slice_text(point + 1), &index)) && number >= 0 &&
                (size_t)number < load->graph->node_count && index >= 0 && index < load->graph->nodes[number]->output_count;
    if (!fits)
        fail(load, "there is no such tensor");
    return fits ? &load->graph->nodes[number]->outputs[index] : NULL;
}

static struct pil_tensor **tensors_of(const struct load *load, const struct arg_texts *list, struct arena *arena)
{
    struct pil_tensor **tensors = arena_alloc(arena, MAX(list->count, 1) * sizeof *tensors, load->status);
    for (size_t i = 0; tensors && i < list->count; i++)
        if (!(tensors[i] = tensor_of(load, list->items[i])))
            return NULL;
    return tensors;
}

static bool load_graph(struct load *load, const struct record *record)
{
    if (record->version == VERSION)
        return true;
    status_fail(load->status, PIL_UNSUPPORTED, "%s:%d: a graph of version %lld; this library reads version %d",
                load->reader->file, load->reader->line, (long long)record->version, VERSION);
    return status_hint(load->status, "it was written by a newer version: update the library");
}

static bool load_input(struct load *load, const struct record *record)
{
    struct shape shape;
    enum dtype dtype = dtype_find(slice_text(record->dtype ? record->dtype : ""));
    if (!record->name || dtype_size(dtype) == 0)
        return fail(load, "an input without a name or of an unknown type");
    if (!shape_of(load, &record->shape, &shape))
        return false;
    graph_input(load->graph, record->name, dtype, shape, record->sparse);
    return true;
}

static bool load_variable(struct load *load, const struct record *record)
{
    struct shape shape;
    if (!record->name || !record->name[0])
        return fail(load, "a variable without a name");
    if (!shape_of(load, &record->shape, &shape))
        return false;
    graph_variable(load->graph, record->name, shape, (pil_initializer){ 0 }, false);
    return true;
}

static bool load_constant(struct load *load, const struct record *record)
{
    struct shape shape;
    if (!shape_of(load, &record->shape, &shape))
        return false;
    if (shape_elements(shape) != (int64_t)record->values.count)
        return fail(load, "a constant has more or fewer values than its shape says");
    graph_constant(load->graph, shape, record->values.items);
    return true;
}

static bool load_op(struct load *load, const struct record *record)
{
    struct args_reader reader = { .arena = load->graph->arena };
    const struct op_row *row = op_find(record->op ? record->op : "");
    if (!row) {
        status_fail(load->status, PIL_UNSUPPORTED, "%s:%d: there is no op '%s'", load->reader->file, load->reader->line,
                    record->op ? record->op : "");
        return status_hint(load->status, "it was written by a newer version: update the library");
    }
    struct arg_table table = op_arguments(row);
    struct pil_tensor **inputs = tensors_of(load, &record->tensors, load->scratch);
    void *args = arena_alloc(load->scratch, MAX(row->args_size, 1), load->status);
    if (!inputs || !args || record->tensors.count > INT32_MAX || !args_parse(&table, record->args, args, &reader, load->status))
        return false;
    struct pil_tensor *made = graph_op(load->graph, row->name, args, inputs, (int)record->tensors.count, NULL);
    const char *name =
        record->name ? arena_text(load->graph->arena, record->name, strlen(record->name), load->status) : row->name;
    if (status_ok(&load->graph->status) && name)
        made->node->name = name; /* as it was: random streams follow from it */
    return name != NULL;
}

static bool load_wanted(struct load *load, const struct record *record)
{
    *load->wanted = tensors_of(load, &record->tensors, load->graph->arena);
    *load->wanted_count = record->tensors.count;
    load->ended = true;
    return *load->wanted != NULL;
}

#define KIND(word, adds)                                                                                                         \
    {                                                                                                                            \
        { .name = #word, .args = word##_members, .arg_count = COUNT_OF(word##_members), .size = sizeof(struct record) },         \
            load_##word, adds                                                                                                    \
    }
static const struct kind {
    struct arg_table table;
    bool (*load)(struct load *load, const struct record *record);
    bool adds; /* a node */
} kinds[] = { KIND(graph, false),   KIND(input, true), KIND(variable, true),
              KIND(constant, true), KIND(op, true),    KIND(wanted, false) };

/* What no machine holds is refused here, so that sums of sizes further on cannot overflow. */
static bool check_sizes(const struct load *load, const struct node *node)
{
    const int64_t most = node->kind == NODE_VARIABLE ? INT64_C(1) << 40 : INT64_C(1) << 36;
    for (int i = 0; i < node->output_count; i++) {
        int64_t elements = shape_elements(shape_with_batch(node->outputs[i].type.shape, 1));
        if (elements < 0 || elements > most)
            return fail(load, "a tensor is larger than any machine's memory");
    }
    return true;
}

/* The record's node, made by the same functions that made it first. */
static bool load_record(struct load *load, struct slice word, const struct value *value, bool first)
{
    struct args_reader reader = { .arena = load->scratch };
    struct record record;
    size_t k = 0, nodes = load->graph->node_count;
    while (k < COUNT_OF(kinds) && !slice_is(word, kinds[k].table.name))
        k++;
    if (k == COUNT_OF(kinds) || (k == 0) != first)
        return fail(load, first ? "a graph should begin here" : "no graph has such a record");
    if (value->kind != VALUE_MAP || !args_parse(&kinds[k].table, value, &record, &reader, load->status))
        return status_ok(load->status) ? fail(load, "a map should stand here") : false;
    if (!kinds[k].load(load, &record))
        return false;
    if (!status_ok(&load->graph->status)) {
        *load->status = load->graph->status;
        return status_prefix(load->status, "%s:%d: ", load->reader->file, load->reader->line);
    }
    if (load->graph->node_count - nodes != (size_t)kinds[k].adds)
        return fail(load, "a name is there twice");
    return !kinds[k].adds || check_sizes(load, load->graph->nodes[nodes]);
}

struct pil_graph *graph_load(struct flow_reader *reader, struct pil_tensor ***wanted, size_t *count, pil_status *status)
{
    struct load load = { .reader = reader, .wanted = wanted, .wanted_count = count, .status = status };
    struct slice word;
    struct value *value;
    load.scratch = arena_new(status);
    load.graph = load.scratch ? graph_new(status) : NULL;
    for (bool first = true; load.graph && status_ok(status) && !load.ended; first = false) {
        arena_reset(load.scratch);
        if (flow_next(reader, &word, &value, load.scratch, status))
            load_record(&load, word, value, first);
        else if (status_ok(status))
            fail(&load, "the graph has no end");
    }
    arena_free(load.scratch);
    if (status_ok(status))
        return load.graph;
    if (status->code == PIL_INVALID_ARGUMENT) /* whoever reads the file has not written it */
        status->code = PIL_BAD_DATA;
    graph_free(load.graph);
    return NULL;
}

/* ---- what a loaded graph reads ------------------------------------------------------------------------------- */

size_t graph_input_count(const struct pil_graph *graph)
{
    return (size_t)map_count(graph->input_names);
}

struct pil_tensor *graph_input_at(const struct pil_graph *graph, size_t i)
{
    return graph->inputs[i];
}

/* Lookups that check their ids themselves may have any table. */
int64_t graph_fewest_rows(const struct pil_graph *graph, const struct pil_tensor *ids)
{
    int64_t fewest = INT64_MAX;
    for (size_t n = 0; n < graph->node_count; n++) {
        const struct node *node = graph->nodes[n];
        for (int i = 0; node->kind == NODE_OP && i < node->input_count; i++) {
            if (node->inputs[i] != ids)
                continue;
            bool checked = strcmp(node->row->name, "lookup") == 0 && ((const struct op_lookup_args *)node->args)->foreign;
            if ((node->row->flags & OP_READS_TABLES) && !checked && i + 1 < node->input_count) /* ids, table, ids, table, ... */
                fewest = MIN(fewest, node->inputs[i + 1]->type.shape.dims[0]);
            else if (strcmp(node->row->name, "indicator") == 0)
                fewest = MIN(fewest, ((const struct op_indicator_args *)node->args)->depth);
        }
    }
    return fewest;
}
