/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hash tables with open addressing. Both keep what a lookup needs in the slot, so that a hit costs one cache line.
 *
 * Strings: a slot has 32 bytes. A key of at most 16 bytes, which is nearly every word of a vocabulary, is in the slot
 * itself as two integers; with its size they determine it, so comparing is three integer comparisons:
 *
 *     size  8..16   first 8 bytes, last 8 bytes (they may overlap)
 *     size  4..7    first 4 bytes, last 4 bytes
 *     size  0..3    the bytes
 *
 * The same two integers are hashed by one multiplication. For a longer key the slot points to the bytes in the arena.
 */
#include "base/base.h"

#include <string.h>

/* Odd constants with irregular bits: the fractions of the square roots of 2, 3, 5 and 7. */
#define SALT_1 0x6A09E667F3BCC909u
#define SALT_2 0xBB67AE8584CAA73Bu
#define SALT_3 0x3C6EF372FE94F82Bu
#define SALT_4 0xA54FF53A5F1D36F1u

enum { FIRST_SLOTS = 16, INLINE_SIZE = 16 };

/* All 128 bits of a product count: each bit of the result depends on all bits of both factors. */
static inline uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t load_64(const char *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static inline uint64_t load_32(const char *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

/* ---- strings ------------------------------------------------------------------------------------------------- */

struct string_slot {
    uint64_t hash;
    uint32_t number; /* plus one; 0: empty */
    uint32_t size;
    union {
        uint64_t word[2];
        const char *data; /* size > INLINE_SIZE */
    };
};
_Static_assert(sizeof(struct string_slot) == 32, "two slots fill a cache line");

struct map {
    struct string_slot *slots;
    size_t slot_count; /* a power of two */
    int shift;         /* 64 - log2(slot_count): the hash's top bits choose the slot */
    struct slice *keys;
    size_t count, capacity;
    struct arena *arena; /* the keys' bytes */
};

/* A key as a lookup needs it. */
struct probe {
    uint64_t hash, word[2];
};

static inline void load_words(struct slice key, uint64_t word[2])
{
    if (key.size >= 8) {
        word[0] = load_64(key.data);
        word[1] = load_64(key.data + key.size - 8);
    } else if (key.size >= 4) {
        word[0] = load_32(key.data);
        word[1] = load_32(key.data + key.size - 4);
    } else if (key.size > 0) {
        const unsigned char *bytes = (const unsigned char *)key.data;
        word[0] = bytes[0] | (uint64_t)bytes[key.size / 2] << 8 | (uint64_t)bytes[key.size - 1] << 16;
        word[1] = 0;
    } else {
        word[0] = word[1] = 0;
    }
}

static inline uint64_t hash_words(const uint64_t word[2], size_t size)
{
    return fold(fold(word[0] ^ SALT_1, word[1] ^ SALT_2) ^ size, SALT_3);
}

static uint64_t hash_long(struct slice key)
{
    uint64_t hash = SALT_4;
    for (size_t at = 0; key.size - at > 16; at += 16)
        hash = fold(load_64(key.data + at) ^ SALT_1, load_64(key.data + at + 8) ^ hash);
    uint64_t last[2] = { load_64(key.data + key.size - 16), load_64(key.data + key.size - 8) ^ hash };
    return hash_words(last, key.size);
}

static inline struct probe probe_of(struct slice key)
{
    struct probe probe = { 0 };
    if (key.size > INLINE_SIZE) {
        probe.hash = hash_long(key);
    } else {
        load_words(key, probe.word);
        probe.hash = hash_words(probe.word, key.size);
    }
    return probe;
}

/* The key's slot, or the empty one where it belongs. */
static inline struct string_slot *find_slot(const struct map *map, struct slice key, const struct probe *probe)
{
    size_t mask = map->slot_count - 1;
    for (size_t i = (size_t)(probe->hash >> map->shift);; i = (i + 1) & mask) {
        struct string_slot *slot = &map->slots[i];
        if (slot->number == 0)
            return slot;
        if (slot->size != key.size)
            continue;
        if (key.size > INLINE_SIZE) {
            if (slot->hash == probe->hash && memcmp(slot->data, key.data, key.size) == 0)
                return slot;
        } else if (slot->word[0] == probe->word[0] && slot->word[1] == probe->word[1]) {
            return slot;
        }
    }
}

static int log2_of(size_t power)
{
    return __builtin_ctzll(power);
}

struct map *map_new(pil_status *status)
{
    struct map *map = mem_new(sizeof(*map), status);
    if (map == NULL)
        return NULL;
    map->slot_count = FIRST_SLOTS;
    map->shift = 64 - log2_of(FIRST_SLOTS);
    map->slots = mem_block(FIRST_SLOTS * sizeof(*map->slots), status);
    map->arena = arena_new(status);
    if (map->slots == NULL || map->arena == NULL) {
        map_free(map);
        return NULL;
    }
    return map;
}

/* Doubles the slots; the stored hashes make it a copy, no key is touched. */
static bool grow_slots(struct map *map, pil_status *status)
{
    size_t count = map->slot_count * 2, bytes;
    if (__builtin_mul_overflow(count, sizeof(struct string_slot), &bytes))
        return status_no_memory(status, SIZE_MAX);
    struct string_slot *slots = mem_block(bytes, status);
    if (slots == NULL)
        return false;
    int shift = map->shift - 1;
    for (size_t old = 0; old < map->slot_count; old++) {
        const struct string_slot *slot = &map->slots[old];
        size_t i = (size_t)(slot->hash >> shift);
        if (slot->number == 0)
            continue;
        while (slots[i].number != 0)
            i = (i + 1) & (count - 1);
        slots[i] = *slot;
    }
    mem_free(map->slots);
    map->slots = slots;
    map->slot_count = count;
    map->shift = shift;
    return true;
}

int64_t map_intern(struct map *map, struct slice key, bool *added, pil_status *status)
{
    struct probe probe = probe_of(key);
    struct string_slot *slot = find_slot(map, key, &probe);
    if (added != NULL)
        *added = slot->number == 0;
    if (slot->number != 0)
        return (int64_t)slot->number - 1;

    /* All that can fail comes first: a failure leaves the map as it was. */
    if (key.size > UINT32_MAX || map->count >= UINT32_MAX - 1) {
        status_fail(status, PIL_UNSUPPORTED, "a table holds at most 4,294,967,294 words of at most 4 GiB");
        return -1;
    }
    if (map->count + 1 > map->slot_count / 8 * 5) {
        if (!grow_slots(map, status))
            return -1;
        slot = find_slot(map, key, &probe);
    }
    if (!mem_grow(&map->keys, &map->capacity, map->count + 1, sizeof(*map->keys), status))
        return -1;
    char *copy = arena_text(map->arena, key.data, key.size, status);
    if (copy == NULL)
        return -1;
    *slot = (struct string_slot){ .hash = probe.hash, .size = (uint32_t)key.size, .number = (uint32_t)map->count + 1 };
    if (key.size > INLINE_SIZE)
        slot->data = copy;
    else
        memcpy(slot->word, probe.word, sizeof(slot->word));
    map->keys[map->count] = slice_of(copy, key.size);
    return (int64_t)map->count++;
}

int64_t map_find(const struct map *map, struct slice key)
{
    struct probe probe = probe_of(key);
    return (int64_t)find_slot(map, key, &probe)->number - 1;
}

struct slice map_key(const struct map *map, int64_t number)
{
    if (number < 0 || (uint64_t)number >= map->count)
        return slice_of("", 0);
    return map->keys[number];
}

int64_t map_count(const struct map *map)
{
    return (int64_t)map->count;
}

void map_free(struct map *map)
{
    if (map == NULL)
        return;
    mem_free(map->slots);
    mem_free(map->keys);
    arena_free(map->arena);
    mem_free(map);
}

/* ---- integers ------------------------------------------------------------------------------------------------ */

/* Key 0 marks an empty slot, so the value of a real key 0 stands apart. */
struct int_slot {
    int64_t key, value;
};

struct int_map {
    struct int_slot *slots;
    size_t slot_count, used;
    int shift;
    bool has_zero;
    int64_t zero_value;
};

static inline struct int_slot *find_int_slot(const struct int_map *map, int64_t key)
{
    size_t mask = map->slot_count - 1;
    size_t i = (size_t)(fold((uint64_t)key ^ SALT_1, SALT_2) >> map->shift);
    while (map->slots[i].key != key && map->slots[i].key != 0)
        i = (i + 1) & mask;
    return &map->slots[i];
}

struct int_map *int_map_new(pil_status *status)
{
    struct int_map *map = mem_new(sizeof(*map), status);
    if (map == NULL)
        return NULL;
    map->slot_count = FIRST_SLOTS;
    map->shift = 64 - log2_of(FIRST_SLOTS);
    map->slots = mem_block(FIRST_SLOTS * sizeof(*map->slots), status);
    if (map->slots == NULL) {
        mem_free(map);
        return NULL;
    }
    return map;
}

static bool grow_int_slots(struct int_map *map, pil_status *status)
{
    struct int_map larger = *map;
    size_t bytes;
    larger.slot_count = map->slot_count * 2;
    larger.shift = map->shift - 1;
    if (__builtin_mul_overflow(larger.slot_count, sizeof(struct int_slot), &bytes))
        return status_no_memory(status, SIZE_MAX);
    larger.slots = mem_block(bytes, status);
    if (larger.slots == NULL)
        return false;
    for (size_t i = 0; i < map->slot_count; i++) {
        if (map->slots[i].key != 0)
            *find_int_slot(&larger, map->slots[i].key) = map->slots[i];
    }
    mem_free(map->slots);
    *map = larger;
    return true;
}

bool int_map_put(struct int_map *map, int64_t key, int64_t value, bool *added, pil_status *status)
{
    bool is_new;
    if (key == 0) {
        is_new = !map->has_zero;
        map->has_zero = true;
        map->zero_value = is_new ? value : map->zero_value;
    } else {
        struct int_slot *slot = find_int_slot(map, key);
        is_new = slot->key == 0;
        if (is_new && map->used + 1 > map->slot_count / 8 * 5) {
            if (!grow_int_slots(map, status))
                return false;
            slot = find_int_slot(map, key);
        }
        if (is_new) {
            *slot = (struct int_slot){ key, value };
            map->used++;
        }
    }
    if (added != NULL)
        *added = is_new;
    return true;
}

int64_t int_map_get(const struct int_map *map, int64_t key, int64_t absent)
{
    if (key == 0)
        return map->has_zero ? map->zero_value : absent;
    const struct int_slot *slot = find_int_slot(map, key);
    return slot->key == key ? slot->value : absent;
}

void int_map_free(struct int_map *map)
{
    if (map == NULL)
        return;
    mem_free(map->slots);
    mem_free(map);
}
