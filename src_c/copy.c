/* SPDX-License-Identifier: MIT
 * Copying elements between two strided layouts, for tensors whose memory order is not their own
 * (transposed weights, every second column).  Knows nothing of what the elements are.
 *
 * Two axes matter: the one along which the output is densest and the one along which the input is.
 * They are walked in squares that fit the L1 cache.  Where the output is gapless along its axis, a
 * square is turned in a buffer on the stack and leaves as whole runs.  If `bypass_cache` says that
 * the caches cannot keep them anyway, they go straight to memory: a store that has to fetch its
 * line first takes twice as long. */
#include <string.h>
#if defined(__x86_64__)
#include <emmintrin.h>
#endif

#include "kernels.h"

enum {
    RUN_SIZE = 1024, /* bytes of a square along the output's axis */
    DOWN = 16,       /* elements of a square along the input's: a cache line of float32 */
    LINE = 64,
};

static void put_run(unsigned char *out, const unsigned char *in, size_t size, int bypass_cache) {
#if defined(__x86_64__)
    if (bypass_cache) {
        /* Whole lines only: a line of which only a part bypasses the cache is written twice. */
        const size_t ragged = (LINE - (uintptr_t)out % LINE) % LINE;
        const size_t head = ragged < size ? ragged : size;
        memcpy(out, in, head);
        out += head, in += head, size -= head;
        for (; size >= LINE; out += LINE, in += LINE, size -= LINE)
            for (int i = 0; i < LINE; i += 16)
                _mm_stream_si128((__m128i *)(void *)(out + i),
                                 _mm_loadu_si128((const __m128i *)(const void *)(in + i)));
    }
#else
    (void)bypass_cache;
#endif
    memcpy(out, in, size);
}

static void runs_are_out(int bypass_cache) {
#if defined(__x86_64__)
    if (bypass_cache) _mm_sfence();
#else
    (void)bypass_cache;
#endif
}

/* A square or less: `across` elements along the output's axis for each of `down`. */
FI_INLINE void copy_square(unsigned char *out, const ptrdiff_t out_step[2], const unsigned char *in,
                           const ptrdiff_t in_step[2], size_t down, size_t across, size_t size) {
    for (size_t i = 0; i < down; i++, out += out_step[0], in += in_step[0]) {
        unsigned char *to = out;
        const unsigned char *from = in;
        const ptrdiff_t out_by = out_step[1], in_by = in_step[1];
#pragma GCC unroll 8
        for (size_t j = 0; j < across; j++, to += out_by, from += in_by) memcpy(to, from, size);
    }
}

#define COPY_SQUARE(type)                                                                          \
    static void copy_##type(unsigned char *out, const ptrdiff_t out_step[2],                       \
                            const unsigned char *in, const ptrdiff_t in_step[2], size_t down,      \
                            size_t across) {                                                       \
        copy_square(out, out_step, in, in_step, down, across, sizeof(type));                       \
    }
COPY_SQUARE(uint8_t)
COPY_SQUARE(uint16_t)
COPY_SQUARE(uint32_t)
COPY_SQUARE(uint64_t)

/* A full square of gapless input, turned: the rows that come out are RUN_SIZE bytes apart. */
#define TURN_SQUARE(type)                                                                          \
    static void turn_##type(unsigned char *out, const unsigned char *in, ptrdiff_t in_step,        \
                            size_t across) {                                                       \
        for (size_t j = 0; j < across; j++, out += sizeof(type), in += in_step) {                  \
            type line[DOWN];                                                                       \
            memcpy(line, in, sizeof line);                                                         \
            for (int i = 0; i < DOWN; i++) memcpy(out + i * RUN_SIZE, line + i, sizeof(type));     \
        }                                                                                          \
    }
TURN_SQUARE(uint8_t)
TURN_SQUARE(uint16_t)
TURN_SQUARE(uint64_t)
#if defined(__x86_64__)
/* Four lines at a time, four elements of each: sixteen loads and stores become eight. */
static void turn_uint32_t(unsigned char *out, const unsigned char *in, ptrdiff_t in_step,
                          size_t across) {
    size_t j = 0;
    for (; j + 4 <= across; j += 4, out += 16, in += 4 * in_step)
        for (int i = 0; i < DOWN; i += 4) {
            __m128 line[4];
            for (int k = 0; k < 4; k++)
                line[k] = _mm_loadu_ps((const float *)(const void *)(in + k * in_step + 4 * i));
            _MM_TRANSPOSE4_PS(line[0], line[1], line[2], line[3]);
            for (int k = 0; k < 4; k++)
                _mm_storeu_ps((float *)(void *)(out + (i + k) * RUN_SIZE), line[k]);
        }
    for (; j < across; j++, out += 4, in += in_step)
        for (int i = 0; i < DOWN; i++) memcpy(out + i * RUN_SIZE, in + 4 * i, 4);
}
#else
TURN_SQUARE(uint32_t)
#endif

typedef struct element {
    void (*copy)(unsigned char *out, const ptrdiff_t out_step[2], const unsigned char *in,
                 const ptrdiff_t in_step[2], size_t down, size_t across);
    void (*turn)(unsigned char *out, const unsigned char *in, ptrdiff_t in_step, size_t across);
} element;
static const element ELEMENTS[9] = {[1] = {copy_uint8_t, turn_uint8_t},
                                    [2] = {copy_uint16_t, turn_uint16_t},
                                    [4] = {copy_uint32_t, turn_uint32_t},
                                    [8] = {copy_uint64_t, turn_uint64_t}};

static void turn_square(const element *of, unsigned char *out, const ptrdiff_t out_step[2],
                        const unsigned char *in, const ptrdiff_t in_step[2], size_t down,
                        size_t across, size_t size, int bypass_cache) {
    unsigned char turned[DOWN * RUN_SIZE];
    const ptrdiff_t step[2] = {RUN_SIZE, (ptrdiff_t)size};
    if (down == DOWN && in_step[0] == (ptrdiff_t)size)
        of->turn(turned, in, in_step[1], across);
    else
        of->copy(turned, step, in, in_step, down, across);
    for (size_t i = 0; i < down; i++)
        put_run(out + (ptrdiff_t)i * out_step[0], turned + i * RUN_SIZE, across * size,
                bypass_cache);
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }
static ptrdiff_t distance(ptrdiff_t stride) { return stride < 0 ? -stride : stride; }

/* The axis of more than one element with the smallest stride; 0 if there is none. */
static size_t densest(const size_t *counts, const ptrdiff_t *strides, size_t axes) {
    size_t found = 0;
    for (size_t axis = 1; axis < axes; axis++)
        if (counts[axis] > 1 &&
            (counts[found] <= 1 || distance(strides[axis]) <= distance(strides[found])))
            found = axis;
    return found;
}

fi_status fi_copy(void *out, const ptrdiff_t *out_strides, const void *in,
                  const ptrdiff_t *in_strides, const size_t *counts, size_t axes, size_t size,
                  int bypass_cache) {
    if (size > 8 || !ELEMENTS[size].copy || axes == 0 || axes > FI_MOST_AXES) return FI_ERR_RANGE;
    const element *of = &ELEMENTS[size];
    for (size_t axis = 0; axis < axes; axis++)
        if (counts[axis] == 0) return FI_OK;
    const size_t right = densest(counts, out_strides, axes);
    const size_t below = densest(counts, in_strides, axes);
    const ptrdiff_t out_step[2] = {right == below ? 0 : out_strides[below], out_strides[right]};
    const ptrdiff_t in_step[2] = {right == below ? 0 : in_strides[below], in_strides[right]};
    const size_t down = right == below ? 1 : counts[below], across = counts[right];
    const int turn = right != below && out_strides[right] == (ptrdiff_t)size;
    const size_t wide = right == below ? across : RUN_SIZE / size;
    for (size_t j = 0; j < across; j += wide) { /* outermost: the input lines stay near */
        const size_t width = least(wide, across - j);
        unsigned char *to = (unsigned char *)out + (ptrdiff_t)j * out_step[1];
        const unsigned char *from = (const unsigned char *)in + (ptrdiff_t)j * in_step[1];
        size_t index[FI_MOST_AXES] = {0};
        for (;;) {
            for (size_t i = 0; i < down; i += DOWN) {
                unsigned char *corner = to + (ptrdiff_t)i * out_step[0];
                const unsigned char *origin = from + (ptrdiff_t)i * in_step[0];
                const size_t some = least(DOWN, down - i);
                if (turn)
                    turn_square(of, corner, out_step, origin, in_step, some, width, size,
                                bypass_cache);
                else
                    of->copy(corner, out_step, origin, in_step, some, width);
            }
            size_t axis = axes; /* the next index along the other axes */
            while (axis-- > 0) {
                if (axis == right || axis == below) continue;
                to += out_strides[axis], from += in_strides[axis];
                if (++index[axis] < counts[axis]) break;
                to -= (ptrdiff_t)index[axis] * out_strides[axis];
                from -= (ptrdiff_t)index[axis] * in_strides[axis];
                index[axis] = 0;
            }
            if (axis == (size_t)-1) break;
        }
    }
    runs_are_out(bypass_cache && turn);
    return FI_OK;
}
