/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order in which rows are dealt, in row numbers alone: shuffle, repeat, batch, as tf.data's shuffle(buffer), repeat(),
 * batch(n). No row is touched here, so a resumed run replays its draws in milliseconds, and a cache changes nothing.
 *
 * The shuffle of one epoch of N rows with a buffer of B:
 *
 *     before draw n the buffer holds min(B, N - n) rows; the draw takes one of them, each with equal chance;
 *     row n + B takes its place, and when there is none left the last entry moves there.
 *
 * So draw n is a function of (seed, epoch, n, min(B, N - n)) and of the draws before it. It can be made as soon as row n + B
 * is known to exist, or N is known: this is what order_next waits for, and why it never matters how fast the rows come.
 *
 * The random word of draw n is word n mod 4 of block n / 4 in the stream of the epoch, so a draw costs a quarter of a block.
 */
#include "input/input.h"

#include <string.h>

/* Beyond this a buffer holds everything anyway; sums of it and a batch stay far from overflow. */
#define SHUFFLE_LIMIT ((int64_t)1 << 40)
#define ROW_LIMIT ((int64_t)1 << 60)

enum { DRAW_RUN = 256 };

struct entry {
    int64_t row, slot;
};

struct order {
    struct order_options options;
    struct random_key draw, redraw;
    int64_t buffer;         /* rows of the shuffle buffer; 0: none */
    int64_t epoch, emitted; /* of the next draw */
    int64_t behind;         /* rows still to be thrown away */
    struct entry *entries;  /* [buffer, as far as filled] */
    int64_t *left;          /* slots in the order in which the end of the epoch leaves them */
    size_t entry_capacity, left_capacity;
    int64_t held; /* entries in use */
    int64_t left_count;
    bool filled;       /* the buffer belongs to this epoch */
    uint32_t words[4]; /* the random block that the last draw came from */
    int64_t block;     /* its number; -1: none */
};

struct order *order_new(const struct order_options *options, const struct cursor *from, pil_status *status)
{
    if (options->batch_size < 1 || options->shuffle < 0 || options->epochs < 0 || options->skip < 0) {
        status_fail(status, PIL_INVALID_ARGUMENT, "batch_size must be at least 1; shuffle, epochs and skip at least 0");
        return NULL;
    }
    if (options->batch_size > SHUFFLE_LIMIT || options->skip > ROW_LIMIT / options->batch_size) {
        status_fail(status, PIL_INVALID_ARGUMENT, "batch_size or skip is too large");
        return NULL;
    }
    if (from != NULL && (from->epoch < 0 || from->emitted < 0 || from->emitted > ROW_LIMIT)) {
        status_fail(status, PIL_BAD_DATA, "the place in the input (epoch %lld, row %lld) makes no sense", (long long)from->epoch,
                    (long long)from->emitted);
        return NULL;
    }
    struct order *order = mem_new(sizeof(*order), status);
    if (order == NULL)
        return NULL;
    order->options = *options;
    order->buffer = options->shuffle > 1 ? MIN(options->shuffle, SHUFFLE_LIMIT) : 0;
    order->draw = random_key(options->seed, "shuffle");
    order->redraw = random_key(options->seed, "shuffle again");
    order->block = -1;
    order->epoch = from != NULL ? from->epoch : 0;
    order->behind = from != NULL ? from->emitted : options->skip * options->batch_size;
    return order;
}

/* Uniform on 0 .. size - 1, exactly: multiply and reject (Lemire 2019); what is rejected (size in 2^32 draws) is drawn again
 * from a stream of its own. */
static int64_t pick(struct order *order, int64_t n, int64_t size)
{
    if (size > UINT32_MAX)
        return (int64_t)random_below(order->redraw, (uint64_t)order->epoch, (uint64_t)n, (uint64_t)size);
    if (order->block != n / 4) {
        order->block = n / 4;
        random_bits(order->draw, (uint64_t)order->epoch, (uint64_t)order->block, order->words);
    }
    uint32_t limit = (uint32_t)size;
    uint64_t product = (uint64_t)order->words[n % 4] * limit;
    if ((uint32_t)product < limit && (uint32_t)product < (0 - limit) % limit)
        return (int64_t)random_below(order->redraw, (uint64_t)order->epoch, (uint64_t)n, limit);
    return (int64_t)(product >> 32);
}

/* The buffer at the start of an epoch: row i sits where the last epoch's draw number rows - hold + i left a place. */
static bool fill(struct order *order, int64_t hold, pil_status *status)
{
    if (!mem_grow(&order->entries, &order->entry_capacity, (size_t)hold, sizeof(*order->entries), status) ||
        !mem_grow(&order->left, &order->left_capacity, (size_t)hold, sizeof(*order->left), status))
        return false;
    for (int64_t i = 0; i < hold; i++)
        order->entries[i] = (struct entry){ i, i < order->left_count ? order->left[i] : i };
    order->held = hold;
    order->left_count = 0;
    order->filled = true;
    order->block = -1;
    return true;
}

/* A run of draws. All are picked before the first entry is touched: where the buffer is larger than the nearest cache, the
 * processor then waits for many entries at once. */
static void draw_run(struct order *order, int64_t first, int64_t count, int64_t rows, struct order_row *out)
{
    int64_t picks[DRAW_RUN];
    struct entry *entries = order->entries;
    for (int64_t i = 0; i < count; i++)
        picks[i] = pick(order, first + i, MIN(order->buffer, rows - first - i));
    for (int64_t i = 0; i < count; i++) {
        struct entry *drawn = &entries[picks[i]];
        if (out != NULL)
            out[i] = (struct order_row){ order->epoch, drawn->row, drawn->slot };
        if (first + i < rows - order->buffer) {
            drawn->row = first + i + order->buffer;
        } else {
            order->left[order->left_count++] = drawn->slot;
            *drawn = entries[--order->held];
        }
    }
}

/* `count` draws of this epoch, which has `rows` rows (or more than matters to these draws). */
static bool deal(struct order *order, int64_t count, int64_t rows, struct order_row *out, pil_status *status)
{
    int64_t first = order->emitted;
    order->emitted += count;
    if (order->buffer == 0) {
        for (int64_t i = 0; out != NULL && i < count; i++)
            out[i] = (struct order_row){ order->epoch, first + i, 0 };
        return true;
    }
    if (!order->filled && !fill(order, MIN(order->buffer, rows), status))
        return false;
    for (int64_t done = 0; done < count; done += DRAW_RUN)
        draw_run(order, first + done, MIN(count - done, (int64_t)DRAW_RUN), rows, out != NULL ? out + done : NULL);
    return true;
}

static void next_epoch(struct order *order)
{
    order->epoch++;
    order->emitted = 0;
    order->filled = false;
}

/* Deals up to `wanted` rows, across ends of epochs. */
static enum order_result deal_rows(struct order *order, int64_t known, bool complete, int64_t wanted, struct order_row *rows,
                                   int64_t *count, int64_t *need, pil_status *status)
{
    *count = 0;
    *need = order->emitted + wanted + order->buffer;
    if (order->options.epochs > 0 && order->epoch >= order->options.epochs)
        return ORDER_END; /* a cursor from a longer run */
    if (!complete && known < *need)
        return ORDER_NEED_ROWS;
    while (*count < wanted) {
        if (complete && order->emitted >= known) {
            /* An epoch ends when a row behind its last one is asked for, so the cursor does not depend on who knew what. */
            if (known == 0 || (order->options.epochs > 0 && order->epoch + 1 >= order->options.epochs))
                break;
            next_epoch(order);
        }
        int64_t run = complete ? MIN(wanted - *count, known - order->emitted) : wanted - *count;
        if (!deal(order, run, complete ? known : INT64_MAX, rows != NULL ? rows + *count : NULL, status))
            return ORDER_FAILED;
        *count += run;
    }
    return *count > 0 ? ORDER_BATCH : ORDER_END;
}

int64_t order_behind(const struct order *order)
{
    return order->behind;
}

enum order_result order_replay(struct order *order, int64_t known, bool complete, int64_t limit, struct order_row *rows,
                               int64_t *count, int64_t *need, pil_status *status)
{
    enum order_result result = deal_rows(order, known, complete, MIN(limit, order->behind), rows, count, need, status);
    order->behind = result == ORDER_END ? 0 : order->behind - *count;
    return result;
}

enum order_result order_next(struct order *order, int64_t known, bool complete, struct order_row *rows, int64_t *count,
                             int64_t *need, pil_status *status)
{
    while (order->behind > 0) {
        /* As far as the rows known allow, at least one. */
        int64_t certain = complete ? order->behind : known - order->emitted - order->buffer;
        enum order_result result = order_replay(order, known, complete, MAX(certain, 1), NULL, count, need, status);
        if (result != ORDER_BATCH)
            return result;
    }
    return deal_rows(order, known, complete, order->options.batch_size, rows, count, need, status);
}

int64_t order_hold(const struct order *order, int64_t known, bool complete)
{
    return complete ? MIN(order->buffer, known) : order->buffer;
}

struct cursor order_cursor(const struct order *order)
{
    return (struct cursor){ .epoch = order->epoch, .emitted = order->emitted + order->behind };
}

void order_free(struct order *order)
{
    if (order == NULL)
        return;
    mem_free(order->entries);
    mem_free(order->left);
    mem_free(order);
}
