/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Brings equal ids together, so that an optimizer touches each row of a table once and adds a row's gradients in the order
 * of the batch's rows. Two ways, both stable:
 *
 *   counting  few possible ids (a vocabulary, buckets, a small cross): one histogram over the ids; its non-empty places
 *             are the groups, its running sum says where each entry goes.
 *   radix     many possible ids: records (id, entry) of eight bytes, least significant digit first. All histograms come
 *             from one reading. The width of a digit follows the number of entries, because every pass also costs a walk
 *             over its histogram: 512 entries take three digits of 7 bits where 2048 take two of 10.
 *
 * Entries of an id below 0 are left out while the records (or the histogram) are made.
 */
#include <string.h>

#include "kernel/kernel.h"

enum {
    MAX_PASSES = 4,
    MAX_DIGIT = 11,                         /* 2048 counts of 4 bytes: a quarter of a small first-level cache */
    COUNTS = MAX_PASSES * (1 << MAX_DIGIT), /* words for histograms, whichever way is taken */
};

/* Layout of the scratch memory: counts [COUNTS], two arrays of records [entries], the row of each entry [entries]. */
size_t sort_scratch(int64_t entries)
{
    return COUNTS * sizeof(int32_t) + (size_t)entries * (2 * sizeof(uint64_t) + sizeof(int32_t));
}

/* Layout of the result: ids [entries], starts [entries + 1], entries [entries], rows [entries]. */
size_t sort_memory(int64_t entries)
{
    return (4 * (size_t)entries + 1) * sizeof(int32_t);
}

struct output {
    int32_t *ids, *starts, *entries, *rows;
};

/* ---- counting ------------------------------------------------------------------------------------------------ */

/* Cuts a histogram into groups; its non-empty places become positions. Two loops, because most stores of a single one
 * would be for ids that do not occur. Returns the number of groups. */
static int64_t walk_histogram(int32_t *restrict counts, int64_t limit, int64_t n, struct output to)
{
    int64_t groups = 0;
    for (int64_t id = 0; id < limit && groups < n; id++) {
        to.ids[groups] = (int32_t)id; /* overwritten by the next id unless this one occurs */
        groups += counts[id] > 0;
    }
    int32_t place = 0;
    for (int64_t g = 0; g < groups; g++) {
        int32_t *count = counts + to.ids[g], here = *count;
        to.starts[g] = *count = place;
        place += here;
    }
    to.starts[groups] = place;
    return groups;
}

static int64_t sort_by_counting(const int32_t *ids, int64_t n, int64_t limit, int32_t *counts, struct output to)
{
    /* counts[id + 1], so that counts[0] takes the entries without an id and needs no branch */
    memset(counts, 0, (size_t)(limit + 1) * sizeof *counts);
    for (int64_t e = 0; e < n; e++)
        counts[ids[e] < 0 ? 0 : ids[e] + 1]++;
    bool some_missing = counts[0] > 0;
    counts++;
    int64_t groups = walk_histogram(counts, limit, n, to);
    for (int64_t e = 0; e < n; e++)
        if (!some_missing || ids[e] >= 0)
            to.entries[counts[ids[e]]++] = (int32_t)e;
    return groups;
}

/* ---- radix --------------------------------------------------------------------------------------------------- */

static int bits_of(int64_t limit)
{
    int bits = 1;
    while (bits < 31 && (int64_t)1 << bits < limit)
        bits++;
    return bits;
}

/* Passes for keys of `bits` bits: an entry costs about 1 in every pass, a place of a histogram 1/2 (measured). */
static int choose_passes(int bits, int64_t n)
{
    int best = MAX_PASSES;
    int64_t least = INT64_MAX;
    for (int passes = 1; passes <= MAX_PASSES; passes++) {
        int digit = (bits + passes - 1) / passes;
        if (digit > MAX_DIGIT)
            continue;
        int64_t cost = passes * (n + ((int64_t)1 << digit) / 2);
        if (cost < least) {
            least = cost;
            best = passes;
        }
    }
    return best;
}

/* Records of the entries that have an id, and the histogram of every digit. Returns their number. */
static inline int64_t make_records(const int32_t *ids, int64_t n, int passes, int digit, int32_t *counts, uint64_t *records)
{
    uint32_t mask = (1u << digit) - 1;
    int64_t kept = 0;
    for (int64_t e = 0; e < n; e++) {
        uint32_t id = (uint32_t)ids[e];
        int32_t keep = (int32_t)(~id >> 31);
        records[kept] = (uint64_t)id << 32 | (uint32_t)e;
        kept += keep;
        counts[id & mask] += keep;
        for (int pass = 1; pass < passes; pass++)
            counts[(pass << digit) + (int)(id >> pass * digit & mask)] += keep;
    }
    return kept;
}

/* The same with the number of passes known to the compiler. */
static int64_t make_records_of(const int32_t *ids, int64_t n, int passes, int digit, int32_t *counts, uint64_t *records)
{
    memset(counts, 0, ((size_t)passes << digit) * sizeof *counts);
    switch (passes) {
    case 1:
        return make_records(ids, n, 1, digit, counts, records);
    case 2:
        return make_records(ids, n, 2, digit, counts, records);
    case 3:
        return make_records(ids, n, 3, digit, counts, records);
    default:
        return make_records(ids, n, MAX_PASSES, digit, counts, records);
    }
}

/* Moves the records by one digit; places are the histogram, turned into running sums here. */
static void move_records(const uint64_t *from, int64_t n, int shift, int digit, int32_t *places, uint64_t *to)
{
    uint32_t mask = (1u << digit) - 1;
    int32_t sum = 0;
    for (uint32_t d = 0; d <= mask; d++) {
        int32_t here = places[d];
        places[d] = sum;
        sum += here;
    }
    for (int64_t i = 0; i < n; i++)
        to[places[from[i] >> shift & mask]++] = from[i];
}

static int64_t cut_groups(const uint64_t *sorted, int64_t n, struct output to)
{
    int64_t groups = 0;
    to.starts[0] = 0;
    if (n == 0)
        return 0;
    for (int64_t i = 0; i + 1 < n; i++) {
        to.entries[i] = (int32_t)sorted[i];
        to.ids[groups] = (int32_t)(sorted[i] >> 32);
        to.starts[groups + 1] = (int32_t)(i + 1);
        groups += sorted[i] >> 32 != sorted[i + 1] >> 32;
    }
    to.entries[n - 1] = (int32_t)sorted[n - 1]; /* the last record closes the last group */
    to.ids[groups] = (int32_t)(sorted[n - 1] >> 32);
    to.starts[groups + 1] = (int32_t)n;
    return groups + 1;
}

static int64_t sort_by_radix(const int32_t *ids, int64_t n, int64_t limit, int32_t *counts, uint64_t *records, struct output to)
{
    int bits = bits_of(limit);
    int passes = choose_passes(bits, n);
    int digit = (bits + passes - 1) / passes;
    uint64_t *from = records, *other = records + n;
    int64_t kept = make_records_of(ids, n, passes, digit, counts, from);
    for (int pass = 0; pass < passes; pass++) {
        move_records(from, kept, 32 + pass * digit, digit, counts + ((size_t)pass << digit), other);
        uint64_t *sorted = other;
        other = from;
        from = sorted;
    }
    return cut_groups(from, kept, to);
}

/* ---- both ---------------------------------------------------------------------------------------------------- */

static void rows_of_entries(const struct sparse *ids, int32_t *row_of)
{
    int64_t base = ids->offsets[0];
    for (int64_t row = 0; row < ids->rows; row++)
        for (int64_t e = ids->offsets[row] - base; e < ids->offsets[row + 1] - base; e++)
            row_of[e] = (int32_t)row;
}

void sort_groups(const struct sparse *ids, int64_t limit, void *scratch, void *memory, struct groups *out)
{
    int64_t n = ids->entries;
    uint64_t *records = scratch;
    int32_t *counts = (int32_t *)(records + 2 * n), *row_of = counts + COUNTS, *words = memory;
    struct output to = { words, words + n, words + 2 * n + 1, words + 3 * n + 1 };
    const int32_t *first = ids->offsets ? ids->ids + ids->offsets[0] : ids->ids;
    int64_t count = limit < COUNTS && limit <= 2 * n ? sort_by_counting(first, n, limit, counts, to)
                                                     : sort_by_radix(first, n, limit, counts, records, to);
    *out = (struct groups){ .count = count, .ids = to.ids, .starts = to.starts, .entries = to.entries, .rows = to.entries };
    if (ids->offsets) { /* else an entry's number is its row's */
        rows_of_entries(ids, row_of);
        int32_t used = to.starts[count];
        for (int32_t i = 0; i < used; i++)
            to.rows[i] = row_of[to.entries[i]];
        out->rows = to.rows;
    }
}
