/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Train ops. pil_minimize adds the loss's gradients to the graph and notes which optimizer moves which variables; the Estimator
 * declares them in the store and makes the updater, and knows nothing of optimizers. The gradients are the graph's, made once:
 * a second op for the same loss takes other variables of them.
 *
 * What a TensorFlow program calls its optimizers' variables follows from the ops' order (model-dir.md): the first Keras optimizer
 * counts its steps in global_step, the others in an `iter` of their own; a second one of a class has "_1" in its scope; 1.x's
 * second Adam keeps "beta1_power_1".
 */
#include <math.h>
#include <string.h>

#include "train/internal.h"

/* What builders return after the graph's first error; nobody writes to it. */
static struct pil_train_op error_op;

/* The reason becomes the graph's error, behind the builder's name. */
static pil_train_op *refuse(struct pil_graph *graph, const char *builder, pil_status *reason)
{
    status_prefix(reason, "%s: ", builder);
    graph_fail_with(graph, reason);
    return &error_op;
}

/* ---- which variables ----------------------------------------------------------------------------------------- */

struct choice {
    struct pil_graph *graph;
    const struct pil_tensor *loss;
    const char **without; /* trainable variables that the loss does not depend on; none known in a graph that evaluates */
    size_t without_count;
    struct train_part *part;
    pil_status *status;
};

static bool has_gradient(const struct choice *choice, const struct graph_variable *variable)
{
    for (size_t i = 0; i < choice->without_count; i++)
        if (strcmp(choice->without[i], variable->name) == 0)
            return false;
    return true;
}

static bool part_moves(const struct train_part *part, const struct graph_variable *variable)
{
    for (size_t i = 0; i < part->variable_count; i++)
        if (part->variables[i] == variable)
            return true;
    return false;
}

static struct graph_variable *listed_variable(const struct choice *choice, const struct pil_tensor *tensor, const char *list,
                                              size_t i)
{
    if (!tensor)
        status_fail(choice->status, PIL_INVALID_ARGUMENT, "%s: number %zu is NULL", list, i + 1);
    else if (!graph_owns(choice->graph, tensor))
        status_fail(choice->status, PIL_INVALID_ARGUMENT, "%s: %s belongs to another graph", list, graph_tensor_name(tensor));
    else if (!graph_variable_of(tensor))
        status_fail(choice->status, PIL_INVALID_ARGUMENT, "%s: %s is no variable", list, graph_tensor_name(tensor));
    else
        return graph_variable_of(tensor);
    return NULL;
}

/* One that was asked for by name: what keeps it from being moved is an error. */
static bool take_listed(struct choice *choice, const struct pil_tensor *tensor, size_t i)
{
    pil_status *status = choice->status;
    struct graph_variable *variable = listed_variable(choice, tensor, "var_list", i);
    if (!variable)
        return false;
    if (!variable->trainable) {
        status_fail(status, PIL_INVALID_ARGUMENT, "var_list: the variable %s is not trainable", variable->name);
        return status_hint(status, "leave it out, or make it without .trainable = false");
    }
    if (!has_gradient(choice, variable)) {
        status_fail(status, PIL_INVALID_ARGUMENT, "var_list: no gradient reaches %s: the loss %s does not depend on it",
                    variable->name, graph_tensor_name(choice->loss));
        return status_hint(status, "stop_gradient, sign, argmax and comparisons let none through");
    }
    if (!part_moves(choice->part, variable))
        choice->part->variables[choice->part->variable_count++] = variable;
    return true;
}

static bool take_all(struct choice *choice)
{
    for (size_t i = 0; i < graph_variable_count(choice->graph); i++) {
        const struct graph_variable *variable = graph_variable_at(choice->graph, i);
        if (variable->trainable && has_gradient(choice, variable))
            choice->part->variables[choice->part->variable_count++] = variable;
    }
    if (choice->part->variable_count || graph_is_forward_only(choice->graph))
        return true;
    status_fail(choice->status, PIL_INVALID_ARGUMENT, "no gradient for any variable: the loss %s depends on no trainable one",
                graph_tensor_name(choice->loss));
    return status_hint(choice->status, "stop_gradient, sign, argmax and comparisons let none through");
}

static bool choose_variables(struct choice *choice, pil_variables list)
{
    size_t most = MAX(list.count, graph_variable_count(choice->graph));
    choice->part->variables = arena_alloc(graph_arena(choice->graph), MAX(most, 1) * sizeof(void *), choice->status);
    if (!choice->part->variables)
        return false;
    if (!list.count)
        return take_all(choice);
    for (size_t i = 0; i < list.count; i++)
        if (!take_listed(choice, list.items[i], i))
            return false;
    return true;
}

static bool choose_multipliers(struct choice *choice, pil_multipliers list)
{
    struct train_part *part = choice->part;
    struct train_multiplier *own = arena_alloc(graph_arena(choice->graph), MAX(list.count, 1) * sizeof *own, choice->status);
    for (size_t i = 0; own && i < list.count; i++) {
        const struct graph_variable *variable = listed_variable(choice, list.items[i].variable, "gradient_multipliers", i);
        if (!variable)
            return false;
        if (!part_moves(part, variable))
            return status_fail(choice->status, PIL_INVALID_ARGUMENT, "gradient_multipliers: %s is not moved by this op",
                               variable->name);
        if (!isfinite(list.items[i].multiplier))
            return status_fail(choice->status, PIL_INVALID_ARGUMENT, "gradient_multipliers: %s must have a number, not %g",
                               variable->name, (double)list.items[i].multiplier);
        own[i] = (struct train_multiplier){ variable, list.items[i].multiplier };
    }
    part->multipliers = own;
    part->multiplier_count = list.count;
    return own != NULL;
}

/* ---- one op -------------------------------------------------------------------------------------------------- */

/* The gradients of the one loss of the graph. */
static bool add_gradients(struct pil_graph *graph, struct pil_tensor *loss, pil_status *status)
{
    const struct pil_tensor *before = graph_loss(graph);
    if (!loss)
        return status_fail(status, PIL_INVALID_ARGUMENT, "the loss is NULL");
    if (!graph_owns(graph, loss))
        return status_fail(status, PIL_INVALID_ARGUMENT, "the loss %s belongs to another graph", graph_tensor_name(loss));
    if (before == loss)
        return true;
    if (before) {
        status_fail(status, PIL_UNSUPPORTED, "a graph minimizes one loss: %s is minimized already, %s cannot be, too",
                    graph_tensor_name(before), graph_tensor_name(loss));
        return status_hint(status, "minimize their sum; var_list says which variables an optimizer moves");
    }
    return graph_gradients(graph, loss);
}

static bool check_clip(const struct train_part *part, pil_status *status)
{
    const struct optimizer_options *o = &part->optimizer.options;
    if (!(part->clip_gradients >= 0) || !isfinite(part->clip_gradients))
        return status_fail(status, PIL_INVALID_ARGUMENT, "clip_gradients must be a number from 0 (none), not %g",
                           (double)part->clip_gradients);
    if (part->clip_gradients > 0 && (o->clipnorm > 0 || o->clipvalue > 0 || o->global_clipnorm > 0))
        return status_fail(status, PIL_INVALID_ARGUMENT, "takes clip_gradients or the clipping of %s, not both",
                           optimizer_class(&part->optimizer));
    return true;
}

/* "training/Adam" where it is Keras's, "Adam" of a newer class; 1.x's stand in the open scopes. */
static bool name_part(struct pil_graph *graph, struct train_part *part, pil_status *status)
{
    struct arena *arena = graph_arena(graph);
    const char *scope = graph_scope(graph);
    int open = (int)strlen(scope);
    if (part->optimizer.flavour != FLAVOUR_V1)
        part->names.scope = arena_format(arena, status, part->optimizer.flavour == FLAVOUR_KERAS ? "%s" : "training/%s",
                                         optimizer_class(&part->optimizer));
    else if (part->name)
        part->names.scope = part->name;
    else if (open)
        part->names.scope = arena_format(arena, status, "%.*s", open - 1, scope);
    return status_ok(status);
}

static struct pil_train_op *new_op(struct pil_graph *graph, struct pil_tensor *loss, int part_count, pil_status *status)
{
    struct pil_train_op *op = arena_alloc(graph_arena(graph), sizeof *op, status);
    struct train_part *parts = arena_alloc(graph_arena(graph), (size_t)part_count * sizeof *parts, status);
    if (op && parts)
        *op = (struct pil_train_op){ .loss = loss, .parts = parts, .part_count = part_count };
    return parts ? op : NULL;
}

struct minimizing {
    pil_tensor *loss;
    pil_variables variables;
    pil_multipliers multipliers;
    struct train_part first; /* what is known before: the optimizer, ... */
};

static struct pil_train_op *minimize(struct pil_graph *graph, const struct minimizing *what, pil_status *status)
{
    struct pil_train_op *op = new_op(graph, what->loss, 1, status);
    if (!op)
        return NULL;
    struct train_part *part = op->parts;
    *part = what->first;
    if (!check_clip(part, status) || !add_gradients(graph, what->loss, status))
        return NULL;
    struct choice choice = { .graph = graph, .loss = what->loss, .part = part, .status = status };
    if (!graph_is_forward_only(graph))
        choice.without_count = graph_without_gradient(graph, &choice.without);
    bool ok = choose_variables(&choice, what->variables) && choose_multipliers(&choice, what->multipliers) &&
              name_part(graph, part, status);
    return ok ? op : NULL;
}

struct pil_train_op *train_op_minimize(struct pil_graph *graph, const struct train_part *part, struct pil_tensor *loss,
                                       struct pil_tensor *const *variables, size_t count)
{
    pil_status status = { 0 };
    struct minimizing what = { .loss = loss, .variables = { variables, count }, .first = *part };
    what.first.rate = -1;
    struct pil_train_op *op = status_ok(graph_status(graph)) ? minimize(graph, &what, &status) : &error_op;
    return op ? op : refuse(graph, "minimize", &status);
}

pil_minimize_options pil_minimize_options_default(void)
{
    return (pil_minimize_options){ PIL_MINIMIZE_DEFAULTS };
}

pil_train_op *pil_minimize_make(pil_graph *graph, pil_optimizer optimizer, const pil_minimize_options *options)
{
    pil_status status = { 0 };
    struct minimizing what = { .loss = options->loss,
                               .variables = options->var_list,
                               .first = { .clip_gradients = options->clip_gradients, .rate = -1 } };
    struct pil_train_op *op = &error_op;
    if (status_ok(graph_status(graph)))
        op = optimizer_from(&optimizer, graph_arena(graph), &what.first.optimizer, &status) ? minimize(graph, &what, &status)
                                                                                            : NULL;
    return op ? op : refuse(graph, "pil_minimize", &status);
}

/* ---- pil_optimize_loss --------------------------------------------------------------------------------------- */

/* The class of 1.x with its defaults; no class and an error where there is none. */
static pil_optimizer optimizer_by_word(const char *word, pil_status *status)
{
    const char *const words[] = { "Adagrad", "Adam", "Ftrl", "Momentum", "RMSProp", "SGD" };
    const pil_optimizer optimizers[] = { pil_adagrad_optimizer(0), pil_adam_optimizer(0),
                                         pil_ftrl_optimizer(0),    pil_momentum_optimizer(0, 0.9f),
                                         pil_rmsprop_optimizer(0), pil_gradient_descent_optimizer(0) };
    _Static_assert(COUNT_OF(words) == COUNT_OF(optimizers), "an optimizer for each word, in the same order");
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (strcmp(words[i], word) == 0)
            return optimizers[i];
    const char *nearest = nearest_word(word, words, COUNT_OF(words));
    if (nearest)
        status_fail(status, PIL_INVALID_ARGUMENT, "no optimizer is called '%s'; did you mean '%s'?", word, nearest);
    else
        status_fail(status, PIL_INVALID_ARGUMENT, "no optimizer is called '%s'", word);
    status_hint(status, "there are Adagrad, Adam, Ftrl, Momentum, RMSProp and SGD; .optimizer_object takes any other");
    return (pil_optimizer){ .class_name = NULL };
}

static bool choose_optimizer(const pil_optimize_loss_options *options, pil_optimizer *out, pil_status *status)
{
    *out = options->optimizer_object;
    if (out->class_name && options->optimizer)
        return status_fail(status, PIL_INVALID_ARGUMENT, "takes .optimizer or .optimizer_object, not both");
    if (out->class_name)
        return true;
    if (!options->optimizer) {
        status_fail(status, PIL_INVALID_ARGUMENT, "an optimizer is needed");
        return status_hint(status, ".optimizer = \"SGD\", or .optimizer_object = pil_adam_optimizer(0.001f)");
    }
    if (!(options->learning_rate >= 0)) {
        status_fail(status, PIL_INVALID_ARGUMENT, "the optimizer '%s' needs a learning rate", options->optimizer);
        return status_hint(status, ".learning_rate = 0.01f");
    }
    *out = optimizer_by_word(options->optimizer, status);
    if (!out->class_name)
        return false;
    out->learning_rate = options->learning_rate;
    out->schedule = options->learning_rate_decay;
    if (out->schedule.kind != PIL_SCHEDULE_NONE)
        out->schedule.learning_rate = options->learning_rate;
    return true;
}

pil_optimize_loss_options pil_optimize_loss_options_default(void)
{
    return (pil_optimize_loss_options){ PIL_OPTIMIZE_LOSS_DEFAULTS };
}

static struct pil_train_op *optimize_loss(struct pil_graph *graph, const pil_optimize_loss_options *options, pil_status *status)
{
    struct minimizing what = {
        .loss = options->loss,
        .variables = options->variables,
        .multipliers = options->gradient_multipliers,
        .first = { .clip_gradients = options->clip_gradients, .rate = options->learning_rate, .summaries = options->summaries }
    };
    if (!options->name || !options->name[0]) {
        status_fail(status, PIL_INVALID_ARGUMENT, "its name is empty");
        return NULL;
    }
    what.first.name = arena_format(graph_arena(graph), status, "%s%s", graph_scope(graph), options->name);
    pil_optimizer optimizer;
    if (!what.first.name || !choose_optimizer(options, &optimizer, status) ||
        !optimizer_from(&optimizer, graph_arena(graph), &what.first.optimizer, status))
        return NULL;
    return minimize(graph, &what, status);
}

pil_train_op *pil_optimize_loss_make(pil_graph *graph, const pil_optimize_loss_options *options)
{
    pil_status status = { 0 };
    struct pil_train_op *op = status_ok(graph_status(graph)) ? optimize_loss(graph, options, &status) : &error_op;
    return op ? op : refuse(graph, "pil_optimize_loss", &status);
}

/* ---- several ops --------------------------------------------------------------------------------------------- */

static bool check_apart(const struct pil_train_op *a, const struct pil_train_op *b, pil_status *status)
{
    for (int i = 0; i < a->part_count; i++)
        for (int k = 0; k < b->part_count; k++)
            for (size_t v = 0; v < a->parts[i].variable_count; v++)
                if (part_moves(&b->parts[k], a->parts[i].variables[v])) {
                    status_fail(status, PIL_INVALID_ARGUMENT, "both ops move the variable %s", a->parts[i].variables[v]->name);
                    return status_hint(status, "give each its own .var_list");
                }
    return true;
}

/* How many of the parts before number i have the same class in the same family. */
static int count_before(const struct train_part *parts, int i)
{
    int count = 0;
    for (int k = 0; k < i; k++)
        count += parts[k].optimizer.flavour == parts[i].optimizer.flavour &&
                 strcmp(optimizer_class(&parts[k].optimizer), optimizer_class(&parts[i].optimizer)) == 0;
    return count;
}

/* Part number i stands behind others now. */
static bool rename_part(struct pil_graph *graph, struct train_part *parts, int i, pil_status *status)
{
    struct train_part *part = &parts[i];
    const char *class_name = optimizer_class(&part->optimizer);
    int before = count_before(parts, i);
    if (part->optimizer.flavour == FLAVOUR_V1) {
        part->names.number = part->name ? 0 : before; /* pil_optimize_loss keeps them in its own scope */
        return true;
    }
    for (int k = 0; k < i; k++)
        part->own_iter = part->own_iter || parts[k].optimizer.flavour != FLAVOUR_V1;
    if (before)
        part->names.scope = arena_format(graph_arena(graph), status, "training/%s_%d", class_name, before);
    return status_ok(status);
}

/* A name that TensorFlow's variable_scope would find taken: "OptimizeLoss_1". */
static bool rename_scope(struct pil_graph *graph, struct train_part *parts, int i, pil_status *status)
{
    const char *name = parts[i].name;
    int taken = 0;
    for (int k = 0; name && k < i; k++)
        taken += parts[k].name && strcmp(parts[k].name, name) == 0;
    if (!taken)
        return true;
    parts[i].name = arena_format(graph_arena(graph), status, "%s_%d", name, taken);
    if (parts[i].optimizer.flavour == FLAVOUR_V1)
        parts[i].names.scope = parts[i].name;
    return status_ok(status);
}

static struct pil_train_op *group(struct pil_graph *graph, const struct pil_train_op *a, const struct pil_train_op *b,
                                  pil_status *status)
{
    if (!a || !b || !a->part_count || !b->part_count) {
        status_fail(status, PIL_INVALID_ARGUMENT, "the %s op is NULL or none of this graph",
                    a && a->part_count ? "second" : "first");
        return NULL;
    }
    if (a->loss != b->loss) {
        status_fail(status, PIL_INVALID_ARGUMENT, "the ops minimize two losses, %s and %s", graph_tensor_name(a->loss),
                    graph_tensor_name(b->loss));
        return NULL;
    }
    if (a->part_count + b->part_count > TRAIN_MOST_PARTS) {
        status_fail(status, PIL_UNSUPPORTED, "%d optimizers are too many, %d may be grouped", a->part_count + b->part_count,
                    (int)TRAIN_MOST_PARTS);
        return NULL;
    }
    struct pil_train_op *op = check_apart(a, b, status) ? new_op(graph, a->loss, a->part_count + b->part_count, status) : NULL;
    if (!op)
        return NULL;
    memcpy(op->parts, a->parts, (size_t)a->part_count * sizeof *op->parts);
    memcpy(op->parts + a->part_count, b->parts, (size_t)b->part_count * sizeof *op->parts);
    for (int i = a->part_count; i < op->part_count; i++)
        if (!rename_scope(graph, op->parts, i, status) || !rename_part(graph, op->parts, i, status))
            return NULL;
    return op;
}

pil_train_op *pil_group(pil_graph *graph, pil_train_op *a, pil_train_op *b)
{
    pil_status status = { 0 };
    struct pil_train_op *op = status_ok(graph_status(graph)) ? group(graph, a, b, &status) : &error_op;
    return op ? op : refuse(graph, "pil_group", &status);
}

/* ---- in the store -------------------------------------------------------------------------------------------- */

static int part_of(const struct pil_train_op *op, const struct graph_variable *variable)
{
    for (int i = 0; op && i < op->part_count; i++)
        if (part_moves(&op->parts[i], variable))
            return i;
    return -1;
}

bool train_op_moves(const struct pil_train_op *op, const char *variable)
{
    for (int i = 0; i < op->part_count; i++)
        for (size_t k = 0; k < op->parts[i].variable_count; k++)
            if (strcmp(op->parts[i].variables[k]->name, variable) == 0)
                return true;
    return false;
}

static bool declare_variable(const struct pil_train_op *op, const struct graph_variable *variable, struct store *store,
                             pil_status *status)
{
    struct variable *stored = store_declare(store, variable->name, DTYPE_FLOAT32, variable->shape,
                                            variable->lookup_only ? STORE_TABLE : STORE_DENSE, status);
    if (!stored)
        return false;
    int part = part_of(op, variable);
    stored->trainable = variable->trainable;
    stored->initializer = variable->initializer;
    stored->note = (struct store_note){ variable->checkpoint, variable->checkpoint_tensor };
    stored->group = part >= 0 ? part : op ? op->part_count : 0;
    return part < 0 || optimizer_declare(&op->parts[part].optimizer, store, stored, &op->parts[part].names, status);
}

/* The rate that optimize_loss keeps as a variable. */
static bool declare_rate(const struct train_part *part, struct store *store, pil_status *status)
{
    struct text name = { 0 };
    if (!part->name || part->rate < 0)
        return true;
    text_format(&name, "%s/learning_rate", part->name);
    struct variable *rate =
        text_ok(&name, status) ? store_declare(store, name.data, DTYPE_FLOAT32, SHAPE_SCALAR, STORE_PLAIN, status) : NULL;
    text_free(&name);
    if (!rate)
        return false;
    rate->hyper = true;
    rate->initializer = (pil_initializer){ .kind = PIL_INITIALIZER_CONSTANT, .a = part->rate };
    return true;
}

bool train_op_declare(const struct pil_train_op *op, const struct pil_graph *graph, struct store *store, pil_status *status)
{
    for (size_t i = 0; i < graph_variable_count(graph); i++)
        if (!declare_variable(op, graph_variable_at(graph, i), store, status))
            return false;
    for (int i = 0; op && i < op->part_count; i++) {
        const struct train_part *part = &op->parts[i];
        if (!optimizer_declare_scalars(&part->optimizer, store, &part->names, part->own_iter, status) ||
            !declare_rate(part, store, status))
            return false;
    }
    return true;
}

bool train_op_bind(const struct pil_graph *graph, const struct store *store, struct session *session, pil_status *status)
{
    for (size_t i = 0; i < graph_variable_count(graph); i++) {
        const struct graph_variable *variable = graph_variable_at(graph, i);
        const struct variable *stored = store_find(store, variable->name);
        if (!stored)
            return status_fail(status, PIL_INTERNAL, "the store lacks %s", variable->name);
        bool in_block = stored->block_offset >= 0;
        struct session_variable where = { stored->value, in_block ? stored->group : -1, in_block ? stored->block_offset : 0 };
        if (!session_bind(session, variable, &where, status))
            return false;
    }
    for (int group = 0; graph_loss(graph) && group < store_groups(store); group++)
        if (!session_groups(session, group, store_block(store, group).floats, status))
            return false;
    return true;
}

struct updater *train_op_updater(const struct pil_train_op *op, struct store *store, struct threads *threads,
                                 const struct kernels *kernels, pil_status *status)
{
    struct updater_part *parts = mem_array((size_t)op->part_count + 1, sizeof *parts, status);
    for (int i = 0; parts && i < op->part_count; i++)
        parts[i] = (struct updater_part){ .optimizer = op->parts[i].optimizer,
                                          .group = i,
                                          .names = op->parts[i].names,
                                          .own_iter = op->parts[i].own_iter,
                                          .clip_gradients = op->parts[i].clip_gradients,
                                          .multipliers = op->parts[i].multipliers,
                                          .multiplier_count = op->parts[i].multiplier_count,
                                          .constraints = op->parts[i].constraints,
                                          .constraint_count = op->parts[i].constraint_count,
                                          .name = op->parts[i].name,
                                          .summaries = op->parts[i].summaries };
    if (parts) /* what the graph has a gradient for and no part moves */
        parts[op->part_count] = (struct updater_part){ .group = op->part_count };
    struct updater *updater = parts ? updater_new(store, parts, op->part_count + 1, threads, kernels, status) : NULL;
    mem_free(parts);
    return updater;
}
