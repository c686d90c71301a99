/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All memory of the library. There is no header in front of an object: what mem_* returns is what the allocator gave, so
 * that mem_free needs nothing but the pointer and the address sanitizer sees the true bounds.
 *
 * An arena is a chain of chunks that only grows. A reset goes back to the first chunk and walks the chain again, hence
 * the same sequence of requests after a reset takes nothing from the allocator:
 *
 *     first -> [used........|free]  ->  [used...|free]  ->  [not reached since the reset]
 *                                        ^ current
 *
 * Fresh chunks come zeroed; only the part that an earlier pass wrote (`dirty`) is zeroed again when it is handed out.
 */
#include "base/base.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define POISON(address, bytes) ASAN_POISON_MEMORY_REGION(address, bytes)
#define UNPOISON(address, bytes) ASAN_UNPOISON_MEMORY_REGION(address, bytes)
#else
#define POISON(address, bytes) ((void)(address), (void)(bytes))
#define UNPOISON(address, bytes) ((void)(address), (void)(bytes))
#endif

#define SMALL_ALIGNMENT ((size_t)16)
#define BLOCK_ALIGNMENT ((size_t)64)
#define HUGE_PAGE ((size_t)2 << 20)

static struct allocator injected; /* allocate is NULL while the system's is in use */
static atomic_uint_fast64_t allocations;

void mem_set_allocator(const struct allocator *allocator)
{
    injected = allocator != NULL ? *allocator : (struct allocator){ 0 };
}

uint64_t mem_allocations(void)
{
    return atomic_load_explicit(&allocations, memory_order_relaxed);
}

static void *system_block(size_t bytes)
{
    void *block = NULL;
    bool large = bytes >= HUGE_PAGE;
    if (posix_memalign(&block, large ? HUGE_PAGE : BLOCK_ALIGNMENT, bytes) != 0)
        return NULL;
#ifdef MADV_HUGEPAGE
    if (large)
        (void)madvise(block, bytes & ~(HUGE_PAGE - 1), MADV_HUGEPAGE); /* a wish; without it pages are small */
#endif
    memset(block, 0, bytes);
    return block;
}

static void *allocate(size_t bytes, size_t alignment, pil_status *status)
{
    void *memory;
    bytes = MAX(bytes, 1);
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    if (bytes > PTRDIFF_MAX) {
        memory = NULL;
    } else if (injected.allocate != NULL) {
        memory = injected.allocate(injected.context, bytes, alignment);
        if (memory != NULL)
            memset(memory, 0, bytes);
    } else {
        memory = alignment == BLOCK_ALIGNMENT ? system_block(bytes) : calloc(1, bytes);
    }
    if (memory == NULL)
        status_no_memory(status, bytes);
    return memory;
}

void *mem_new(size_t bytes, pil_status *status)
{
    return allocate(bytes, SMALL_ALIGNMENT, status);
}

void *mem_array(size_t count, size_t item, pil_status *status)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, item, &bytes)) {
        status_fail(status, PIL_NO_MEMORY, "out of memory: %zu items of %zu bytes are more than there can be", count, item);
        return NULL;
    }
    return allocate(bytes, SMALL_ALIGNMENT, status);
}

void *mem_block(size_t bytes, pil_status *status)
{
    return allocate(bytes, BLOCK_ALIGNMENT, status);
}

void mem_free(void *pointer)
{
    if (pointer == NULL)
        return;
    if (injected.allocate != NULL)
        injected.release(injected.context, pointer);
    else
        free(pointer);
}

/* `array_pointer` is the address of a pointer of any type: read and written as bytes, so no aliasing rule is bent. */
static bool grow(void *array_pointer, size_t *capacity, size_t need, size_t item, size_t alignment, pil_status *status)
{
    if (need <= *capacity)
        return true;
    size_t wanted, bytes;
    if (__builtin_mul_overflow(*capacity, 2, &wanted))
        wanted = need;
    wanted = MAX(MAX(wanted, need), 8);
    if (__builtin_mul_overflow(wanted, item, &bytes) || bytes > PTRDIFF_MAX) {
        wanted = need; /* doubling is a convenience; the need itself decides */
        if (__builtin_mul_overflow(wanted, item, &bytes))
            return status_fail(status, PIL_NO_MEMORY, "out of memory: %zu items of %zu bytes are more than there can be", need,
                               item);
    }
    void *old, *grown = allocate(bytes, alignment, status);
    if (grown == NULL)
        return false;
    memcpy(&old, array_pointer, sizeof(old));
    if (old != NULL)
        memcpy(grown, old, *capacity * item);
    mem_free(old);
    memcpy(array_pointer, &grown, sizeof(grown));
    *capacity = wanted;
    return true;
}

bool mem_grow(void *array_pointer, size_t *capacity, size_t need, size_t item, pil_status *status)
{
    return grow(array_pointer, capacity, need, item, SMALL_ALIGNMENT, status);
}

bool mem_grow_block(void *block_pointer, size_t *capacity, size_t need, size_t item, pil_status *status)
{
    return grow(block_pointer, capacity, need, item, BLOCK_ALIGNMENT, status);
}

char *mem_text(const char *text, pil_status *status)
{
    size_t bytes = strlen(text) + 1;
    char *copy = mem_new(bytes, status);
    if (copy != NULL)
        memcpy(copy, text, bytes);
    return copy;
}

/* ---- arena --------------------------------------------------------------------------------------------------- */

enum { CHUNK_FIRST = 4096, CHUNK_LARGEST = 1 << 20 };

/* The objects follow the struct; its size is a multiple of 16. */
struct chunk {
    struct chunk *next;
    size_t size;  /* bytes after the struct */
    size_t used;  /* handed out since the last reset */
    size_t dirty; /* ever handed out: the rest is still zero */
};
_Static_assert(sizeof(struct chunk) % 16 == 0, "objects after a chunk's head must be aligned");

struct arena {
    struct chunk *first, *current;
    size_t bytes, next_size;
};

static char *chunk_data(struct chunk *chunk)
{
    return (char *)(chunk + 1);
}

struct arena *arena_new(pil_status *status)
{
    struct arena *arena = mem_new(sizeof(*arena), status);
    if (arena != NULL) {
        arena->next_size = CHUNK_FIRST - sizeof(struct chunk);
        arena->bytes = sizeof(*arena);
    }
    return arena;
}

/* Inserts a new chunk behind the current one. */
static struct chunk *add_chunk(struct arena *arena, size_t bytes, pil_status *status)
{
    size_t size = MAX(bytes, arena->next_size);
    struct chunk *chunk = mem_new(sizeof(*chunk) + size, status);
    if (chunk == NULL)
        return NULL;
    chunk->size = size;
    POISON(chunk_data(chunk), size);
    if (arena->current != NULL) {
        chunk->next = arena->current->next;
        arena->current->next = chunk;
    } else {
        arena->first = chunk;
    }
    arena->bytes += sizeof(*chunk) + size;
    arena->next_size = MIN(2 * arena->next_size + sizeof(*chunk), CHUNK_LARGEST - sizeof(*chunk));
    return chunk;
}

void *arena_alloc(struct arena *arena, size_t bytes, pil_status *status)
{
    if (bytes > PTRDIFF_MAX / 2) {
        status_no_memory(status, bytes);
        return NULL;
    }
    size_t rounded = (MAX(bytes, 1) + SMALL_ALIGNMENT - 1) & ~(SMALL_ALIGNMENT - 1);
    struct chunk *chunk = arena->current;
    while (chunk != NULL && chunk->size - chunk->used < rounded)
        chunk = chunk->next;
    if (chunk == NULL)
        chunk = add_chunk(arena, rounded, status);
    if (chunk == NULL)
        return NULL;
    arena->current = chunk;
    char *object = chunk_data(chunk) + chunk->used;
    UNPOISON(object, bytes);
    if (chunk->used < chunk->dirty)
        memset(object, 0, MIN(bytes, chunk->dirty - chunk->used));
    chunk->used += rounded;
    chunk->dirty = MAX(chunk->dirty, chunk->used);
    return object;
}

char *arena_text(struct arena *arena, const char *text, size_t size, pil_status *status)
{
    if (size == SIZE_MAX) {
        status_no_memory(status, size);
        return NULL;
    }
    char *copy = arena_alloc(arena, size + 1, status);
    if (copy != NULL && size > 0)
        memcpy(copy, text, size);
    return copy;
}

char *arena_format(struct arena *arena, pil_status *status, const char *format, ...)
{
    char *out = NULL;
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int size = vsnprintf(NULL, 0, format, arguments);
    if (size < 0)
        status_fail(status, PIL_INTERNAL, "a text could not be formatted as \"%s\"", format);
    else
        out = arena_alloc(arena, (size_t)size + 1, status);
    if (out != NULL)
        vsnprintf(out, (size_t)size + 1, format, again);
    va_end(again);
    va_end(arguments);
    return out;
}

size_t arena_bytes(const struct arena *arena)
{
    return arena->bytes;
}

void arena_reset(struct arena *arena)
{
    for (struct chunk *chunk = arena->first; chunk != NULL; chunk = chunk->next) {
        chunk->used = 0;
        POISON(chunk_data(chunk), chunk->size);
    }
    arena->current = arena->first;
}

void arena_free(struct arena *arena)
{
    if (arena == NULL)
        return;
    for (struct chunk *chunk = arena->first; chunk != NULL;) {
        struct chunk *next = chunk->next;
        UNPOISON(chunk_data(chunk), chunk->size);
        mem_free(chunk);
        chunk = next;
    }
    mem_free(arena);
}
