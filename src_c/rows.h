/* SPDX-License-Identifier: MIT
 * Walking over the rows of a fill, and what is done with rows too short for whole tiles.  Not for
 * callers of the library; fastinit.h says what a row is. */
#ifndef FASTINIT_ROWS_H
#define FASTINIT_ROWS_H

#include <string.h>

#include "kernels.h"

/* A walk visits every series: the rows along the innermost axis, which lie at equal distances. */
typedef struct fi_walk {
    const fi_axis *axis;
    size_t outer;       /* axes beside the innermost */
    fi_axis inner;      /* the innermost; a series of one row if there is no axis */
    uint64_t start;     /* the first element of the first row of this series */
    unsigned char *out; /* and its place */
    size_t index[FI_MOST_AXES];
} fi_walk;

FI_INLINE void fi_walk_begin(fi_walk *walk, unsigned char *out, const fi_rows *rows) {
    walk->axis = rows->axis;
    walk->outer = rows->axes ? rows->axes - 1 : 0;
    walk->inner = rows->axes ? rows->axis[walk->outer] : (fi_axis){1, 0, 0};
    walk->start = rows->start;
    walk->out = out;
    for (size_t axis = 0; axis < walk->outer; axis++) walk->index[axis] = 0;
}

/* Go to the next series; 0 if this was the last. */
FI_INLINE int fi_walk_on(fi_walk *walk) {
    for (size_t n = walk->outer; n-- > 0;) {
        const fi_axis *axis = &walk->axis[n];
        walk->start += axis->start_step;
        walk->out += axis->out_step;
        if (++walk->index[n] < axis->count) return 1;
        walk->start -= axis->count * axis->start_step;
        walk->out -= (ptrdiff_t)axis->count * axis->out_step;
        walk->index[n] = 0;
    }
    return 0;
}

FI_INLINE void fi_put(unsigned char *out, ptrdiff_t out_step, const unsigned char *from,
                      size_t from_step, size_t rows, size_t size) {
    for (; rows; rows--, out += out_step, from += from_step) memcpy(out, from, size);
}

/* Copy rows of `size` bytes; sizes that the compiler knows need no call for each row. */
FI_INLINE void fi_put_rows(unsigned char *out, ptrdiff_t out_step, const unsigned char *from,
                           size_t from_step, size_t rows, size_t size) {
    switch (size) {
    case 1: fi_put(out, out_step, from, from_step, rows, 1); break;
    case 2: fi_put(out, out_step, from, from_step, rows, 2); break;
    case 3: fi_put(out, out_step, from, from_step, rows, 3); break;
    case 4: fi_put(out, out_step, from, from_step, rows, 4); break;
    case 6: fi_put(out, out_step, from, from_step, rows, 6); break;
    case 8: fi_put(out, out_step, from, from_step, rows, 8); break;
    case 12: fi_put(out, out_step, from, from_step, rows, 12); break;
    case 16: fi_put(out, out_step, from, from_step, rows, 16); break;
    default: fi_put(out, out_step, from, from_step, rows, size);
    }
}

/* Fill rows of at most FI_SHORT_WORDS words, which are two per element if the dtype is float64.  No
 * axis is empty, and every element number is below 2^63. */
enum { FI_SHORT_WORDS = 512 };
void fi_fill_short(unsigned char *out, uint32_t dtype, const fi_rows *rows, fi_convert *convert,
                   const fi_spec *spec);

#endif
