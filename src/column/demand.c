/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each field is read as. A column says which type it wants and which it could do with; input.fields may have stated one.
 * A numeric column wants floats and takes integers, an identity column takes nothing else: together they read integers. Where no
 * type suits all, the error names two columns that disagree.
 */
#include <string.h>

#include "column/program.h"

struct field_spec *program_stated(const struct program *program, const char *name)
{
    for (size_t i = 0; i < program->stated_count; i++)
        if (strcmp(program->stated[i].name, name) == 0)
            return &program->stated[i];
    return NULL;
}

bool program_brings_weights(const struct program *program, const struct pil_column *column)
{
    const struct field_spec *stated;

    if (!column_is_weighted(column) || !column->inputs[0]->use.field)
        return false;
    stated = program_stated(program, column->inputs[0]->use.field);
    return stated && stated->weight_separator != 0;
}

/* What is known of a field while its users are asked one after the other. */
struct demand {
    const char *name;
    const char *by[FIELD_FLOAT + 1]; /* for each type the first that wants it */
    unsigned accepts;                /* by all so far */
    bool required;
};
struct demands {
    struct demand *items;
    size_t count, capacity;
};

int program_find_field(const struct program *program, const char *name)
{
    for (size_t i = 0; i < program->field_count; i++)
        if (strcmp(program->fields[i].name, name) == 0)
            return (int)i;
    return -1;
}

/* Names two that want different types. There are two: whoever wants a type accepts it. */
static bool conflict(const struct demand *demand, pil_status *status)
{
    int first = 0, second;

    while (first < FIELD_FLOAT && !demand->by[first])
        first++;
    second = first + 1;
    while (second < FIELD_FLOAT && !demand->by[second])
        second++;
    status_fail(status, PIL_INVALID_ARGUMENT, "field '%s' is read as %s by '%s' and as %s by '%s'", demand->name,
                field_type_name((enum field_type)first), demand->by[first], field_type_name((enum field_type)second),
                demand->by[second]);
    return status_hint(status, "state its type under input.fields; a column that cannot read that type needs a field of its own");
}

static bool demand_field(const struct program *program, struct demands *demands, const struct column_use *use, const char *by,
                         bool required, pil_status *status)
{
    const struct field_spec *stated = program_stated(program, use->field);
    struct demand *demand = NULL;

    if (stated && (int)stated->type != PROGRAM_ANY_TYPE && !(use->accepts >> stated->type & 1)) {
        status_fail(status, PIL_INVALID_ARGUMENT, "'%s' reads field '%s' as %s, but input.fields says %s", by, use->field,
                    field_type_name(use->wants), field_type_name(stated->type));
        return false;
    }
    for (size_t i = 0; i < demands->count && !demand; i++)
        if (strcmp(demands->items[i].name, use->field) == 0)
            demand = &demands->items[i];
    if (!demand) {
        if (!mem_grow(&demands->items, &demands->capacity, demands->count + 1, sizeof *demand, status))
            return false;
        demand = &demands->items[demands->count++];
        *demand = (struct demand){ .name = use->field, .accepts = use->accepts };
    }
    if (!demand->by[use->wants])
        demand->by[use->wants] = by;
    demand->accepts &= use->accepts;
    demand->required = demand->required || required;
    return demand->accepts != 0 || conflict(demand, status);
}

static bool demand_column(const struct program *program, struct demands *demands, const struct pil_column *column,
                          pil_status *status)
{
    if (column->use.field && !program_brings_weights(program, column) &&
        !demand_field(program, demands, &column->use, column_key(column), true, status))
        return false;
    for (size_t i = 0; i < column->input_count; i++)
        if (!demand_column(program, demands, column->inputs[i], status))
            return false;
    return true;
}

static bool demand_all(const struct program *program, struct demands *demands, pil_status *status)
{
    for (size_t i = 0; i < program->feature_count; i++)
        if (!demand_column(program, demands, program->features[i].column, status))
            return false;
    for (size_t i = 0; i < program->number_count; i++)
        if (!demand_column(program, demands, program->numbers[i].column, status))
            return false;
    for (size_t i = 0; i < program->target_count; i++) {
        const struct target *target = &program->targets[i];
        struct column_use use = { target->name, FIELD_FLOAT, ACCEPT_FLOAT | ACCEPT_INT64 };
        if (target->words)
            use = (struct column_use){ target->name, FIELD_STRING, ACCEPT_STRING };
        if (!demand_field(program, demands, &use, target->name, target->required, status))
            return false;
    }
    return true;
}

/* A type that all accept and one wants. Integers win over strings and numbers: an identity column next to a numeric one. */
static bool choose_type(const struct demand *demand, enum field_type *type, pil_status *status)
{
    static const enum field_type order[] = { FIELD_INT64, FIELD_STRING, FIELD_FLOAT };

    for (size_t i = 0; i < COUNT_OF(order); i++)
        if (demand->by[order[i]] && demand->accepts >> order[i] & 1) {
            *type = order[i];
            return true;
        }
    return conflict(demand, status);
}

bool program_make_fields(struct program *program, pil_status *status)
{
    struct demands demands = { 0 };
    bool done = false;

    if (!demand_all(program, &demands, status))
        goto done;
    program->fields = arena_alloc(program->arena, MAX(demands.count, 1) * sizeof *program->fields, status);
    if (!program->fields)
        goto done;
    for (size_t i = 0; i < demands.count; i++) {
        const struct demand *demand = &demands.items[i];
        const struct field_spec *stated = program_stated(program, demand->name);
        struct field_spec *spec = &program->fields[i];
        if (stated)
            *spec = *stated;
        spec->name = arena_text(program->arena, demand->name, strlen(demand->name), status);
        if (!spec->name)
            goto done;
        if ((!stated || (int)stated->type == PROGRAM_ANY_TYPE) && !choose_type(demand, &spec->type, status))
            goto done;
        spec->required = demand->required;
    }
    program->field_count = demands.count;
    for (size_t i = 0; i < program->target_count; i++)
        program->targets[i].field = program_find_field(program, program->targets[i].name);
    done = true;
done:
    mem_free(demands.items);
    return done;
}
