/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How Pilaster says that something went wrong.
 *
 * A pil_status is a plain struct: a code and a message in place, nothing to free. Functions that can fail
 * return one (or fill one); its first line names file, line, column, op and shapes as far as they are known,
 * and up to six indented lines may follow that say what to do.
 */
#ifndef PILASTER_STATUS_H
#define PILASTER_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define PIL_API __attribute__((visibility("default")))
#define PIL_WARN_UNUSED __attribute__((warn_unused_result))
#else
#define PIL_API
#define PIL_WARN_UNUSED
#endif

/* The numbers are fixed; new codes are added at the end. */
typedef enum pil_code {
    PIL_OK = 0,
    PIL_INVALID_ARGUMENT = 1, /* the model, the command line or an argument is wrong      */
    PIL_BAD_DATA = 2,         /* a file's content is not what it should be                */
    PIL_IO = 3,               /* the operating system refused a file or a socket          */
    PIL_NO_MEMORY = 4,        /* an allocation failed                                     */
    PIL_NOT_FOUND = 5,        /* a file, a name or a key does not exist                   */
    PIL_CANCELLED = 6,        /* stopped by a signal or a callback, what was done is saved */
    PIL_BUSY = 7,             /* somebody else holds the lock                             */
    PIL_DIVERGED = 8,         /* the loss is not a number                                 */
    PIL_UNSUPPORTED = 9,      /* correct, but not what this version can do                */
    PIL_INTERNAL = 10         /* a mistake in Pilaster itself; please report it           */
} pil_code;

enum { PIL_MESSAGE_SIZE = 1536 };

typedef struct pil_status {
    pil_code code;
    char message[PIL_MESSAGE_SIZE];
} pil_status;

/* The name of a code in lower case, such as "bad data"; never NULL. */
PIL_API const char *pil_code_name(pil_code code);

#ifdef __cplusplus
}
#endif

#endif
