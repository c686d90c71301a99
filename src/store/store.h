/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: the variables, which outlive every graph. A store owns each variable by its checkpoint name: values, slots,
 * layout and a note on where its values came from. TRAIN, EVAL, PREDICT, warm start, checkpoint and export work on it.
 *
 * Layouts (nobody outside this room and train sees them):
 *   DENSE   padded as a fixed tensor; the trainable ones of one `group` (one optimizer) lie in one block, each slot in a
 *           block of the same layout, so that summing partial gradients and updating is one pass. Those that no optimizer
 *           changes (batch norm's averages) lie outside of it: Ftrl would set them to 0;
 *   TABLE   read by lookup only: a row keeps its weights and slots side by side: w at 0, slot k at (k + 1) * slot_stride;
 *   PLAIN   anything else (an int64 step, a float32 hyper-parameter): contiguous.
 * Pads of weights are 0 and stay 0: gradients of pads are 0, and pads of slots start as the slot does, so every update
 * formula gives 0 for them.
 *
 * Saving never changes the store.
 */
#ifndef PILASTER_STORE_H
#define PILASTER_STORE_H

#include "op/op.h"
#include "tensor/tensor.h"

enum store_layout { STORE_DENSE, STORE_TABLE, STORE_PLAIN };
enum { STORE_MAX_SLOTS = 3 };

/* Where a new variable's values come from instead of its initializer (ckpt_to_load_from): followed once, when a new
 * model gets its first values. */
struct store_note {
    const char *checkpoint; /* a prefix or a folder */
    const char *tensor;     /* its name there */
};
struct store_slot {
    const char *name; /* full checkpoint name: "training/Adagrad/dnn/logits/bias/accumulator" */
    float initial;
};
struct variable {
    const char *name;
    enum dtype dtype;
    struct shape shape;
    enum store_layout layout;
    bool trainable;
    bool hyper; /* a hyper-parameter: on restore the model's value wins, and a difference is told */
    int group;  /* DENSE: which block */
    pil_initializer initializer;
    struct store_note note;
    int slot_count;
    struct store_slot slots[STORE_MAX_SLOTS];
    /* set by store_allocate */
    struct tensor value;  /* DENSE, PLAIN: the values. TABLE: rows x dim with ld = stride */
    int64_t slot_stride;  /* TABLE: floats between weights and slot 0, slot 0 and slot 1, ... */
    int64_t block_offset; /* DENSE: floats from the start of the group's block; -1: outside (not trainable) */
    float *slot_data[STORE_MAX_SLOTS];
};
/* One block of a group: weights, each slot, and (made by train) gradients share offsets. */
struct store_block {
    float *weights;
    float *slots[STORE_MAX_SLOTS];
    int slot_count;
    int64_t floats;
};

struct store *store_new(pil_status *status);
/* Declares a variable, or finds the one of that name (dtype, shape and layout must agree, else an error that names both).
 * Of a new one everything else is zero: not trainable, group 0, initial zeros; the caller sets it before store_allocate.
 * The pointer stays valid. New ones before store_allocate only. */
struct variable *store_declare(struct store *store, const char *name, enum dtype dtype, struct shape shape,
                               enum store_layout layout, pil_status *status);
bool store_add_slot(struct store *store, struct variable *variable, const char *name, float initial, pil_status *status);
/* Gives every declared variable its memory (zeros; slots their initial values). Once. */
bool store_allocate(struct store *store, pil_status *status);
/* First values from the initializers: element i of variable `name` is a pure function of (seed, name, i). Hyper-parameters
 * and slots keep what they hold. */
bool store_initialize(struct store *store, uint64_t seed, struct threads *threads, pil_status *status);

/* The values, no slots and no scalars, of the variables that both have in one type and shape. */
void store_copy_values(const struct store *from, struct store *to);

struct variable *store_find(const struct store *store, const char *name); /* NULL */
size_t store_count(const struct store *store);
struct variable *store_at(const struct store *store, size_t i);           /* ascending by name */
struct tensor store_slot_view(const struct variable *variable, int slot); /* strided, shape as the variable's */
struct store_block store_block(const struct store *store, int group);
int store_groups(const struct store *store);
int64_t store_parameters(const struct store *store); /* elements of trainable variables */
int64_t store_bytes(const struct store *store);      /* memory of all values and slots, with pads */
void store_free(struct store *store);

/* Scalars by name (PLAIN, shape []): global_step and the like. NULL when there is none of that name and type. */
int64_t *store_int64(struct store *store, const char *name);
float *store_float32(struct store *store, const char *name);

/* ---- checkpoint.c ---- */
/* What TensorFlow has no name for rides along under "pilaster/...". Bytes; int64s are little endian. */
struct checkpoint_extra {
    const char *name; /* "pilaster/cursor" */
    const void *data;
    size_t bytes; /* saved as a uint8 vector */
};
/* Which checkpoints stay when a new one is written: the newest, and besides, of those that are not among the newest any more, one
 * in so many hours; these are named no longer and never removed. Source: tf.compat.v1.train.Saver. */
struct checkpoint_keep {
    int64_t newest;       /* 0: all */
    double every_n_hours; /* 0: none besides */
    double next;          /* seconds since 1970: one written later stays; goes on by the hours, so it lives as long as the run */
};
/* Writes model_dir/model.ckpt-<step> and then the `checkpoint` file; removes what `keep` does not let stay (NULL: all stays).
 * The `checkpoint` file is TensorFlow's text proto. */
bool checkpoint_save(const struct store *store, const char *model_dir, int64_t step, struct checkpoint_keep *keep,
                     const struct checkpoint_extra *extras, size_t extra_count, pil_status *status);
/* Writes some variables' values alone, no slots, as a bundle of that prefix. Names are given once each, in any order. */
bool checkpoint_export(const struct store *store, const char *prefix, const char *const *names, size_t count, pil_status *status);
/* The prefix of the newest checkpoint the `checkpoint` file names, in the arena; NULL with status ok when there is none.
 * Relative paths are relative to model_dir. */
char *checkpoint_latest(const char *model_dir, struct arena *arena, pil_status *status);
/* All that the `checkpoint` file names, oldest first. */
bool checkpoint_list(const char *model_dir, struct arena *arena, char ***prefixes, size_t *count, pil_status *status);
struct checkpoint_restore_options {
    bool slots;            /* false: values only (evaluate, predict) */
    const char *model_dir; /* where to look for the last good one when this one is damaged; NULL: do not look */
};
/* Fills the store from a bundle, every checksum verified. A variable that is missing or has another shape: an error that
 * names the first, and both shapes. A damaged file: an error that names the newest good checkpoint. Differences in hyper
 * variables keep the store's value and are told through log_line. */
bool checkpoint_restore(struct store *store, const char *prefix, const struct checkpoint_restore_options *options,
                        pil_status *status);
/* An extra's bytes in the arena; false with status ok when the checkpoint has none of that name. */
bool checkpoint_extra(const char *prefix, const char *name, struct arena *arena, struct slice *out, pil_status *status);
/* One trainer a folder: "<model_dir>/pilaster.lock". NULL with PIL_BUSY and a message that names the folder. */
struct file_lock *checkpoint_lock(const char *model_dir, pil_status *status);

/* ---- transfer.c ---- */
/* Follows every note of the store: reads the tensor, checks its shape (both named in the error), fills the values. */
bool transfer_apply(struct store *store, pil_status *status);
/* Warm start: takes over, from a checkpoint (a prefix or a folder) of any model, the values of every trainable variable that
 * it holds under the same name with the same type and shape. What does not fit is told through log_line and left alone; that
 * nothing fits is an error. No slots, no step. */
bool transfer_warm_start(struct store *store, const char *checkpoint, pil_status *status);

#endif
