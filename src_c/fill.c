/* SPDX-License-Identifier: MIT
 * From any run of elements to whole tiles: ragged ends, rows, constants.  The numbers themselves
 * are made in kernels/. */
#if defined(__AVX__)
#error "this file runs on any x86-64: build it without -mavx or -march=native"
#endif

#include <string.h>

#include "machine.h"
#include "rows.h"

enum { BLOCK_WORDS = 4 };
_Static_assert(BLOCK_WORDS == 1 << 2 && FI_TILE_WORDS == 1 << 7, "add_run shifts by these");
static const uint64_t HIGH_STEP = UINT64_C(1) << 32; /* blocks with one counter word 1 */

/* What one call of a kernel makes.  Kernels make whole tiles: in place where the fill wants all of
 * a tile, elsewhere in a buffer from which the ragged ends are copied. */
enum { PIECES = 16 };
typedef struct call {
    fi_draw *draw;
    const fi_spec *spec;
    size_t pieces, copies;
    fi_piece piece[PIECES];
    struct {
        unsigned char *out;
        const unsigned char *from;
        size_t size;
    } copy[PIECES];
    unsigned char tile[PIECES][FI_TILE_WORDS * 4];
} call;

static void begin(call *c, fi_draw *draw, const fi_spec *spec) {
    c->draw = draw;
    c->spec = spec;
    c->pieces = c->copies = 0;
}

static void finish(call *c) {
    if (c->pieces) c->draw(c->piece, c->pieces, c->spec);
    for (size_t i = 0; i < c->copies; i++) memcpy(c->copy[i].out, c->copy[i].from, c->copy[i].size);
    c->pieces = c->copies = 0;
}

static void add(call *c, unsigned char *out, uint64_t block, size_t tiles) {
    const int full = c->pieces == PIECES;
    if (full || (c->pieces && c->piece->block / HIGH_STEP != block / HIGH_STEP)) finish(c);
    c->piece[c->pieces++] = (fi_piece){out, block, tiles};
}

/* `size` bytes, from byte `skip` on, of the tile that begins with `block`. */
static void add_part(call *c, unsigned char *out, uint64_t block, size_t skip, size_t size) {
    add(c, NULL, block, 1);
    unsigned char *tile = c->tile[c->pieces - 1];
    c->piece[c->pieces - 1].out = tile;
    c->copy[c->copies].out = out;
    c->copy[c->copies].from = tile + skip;
    c->copy[c->copies++].size = size;
}

/* `count` elements from `start`, each of `size` bytes and, if it is `wide`, of two words. */
static void add_run(call *c, unsigned char *out, uint64_t start, size_t count, size_t size,
                    int wide) {
    const size_t per_block = (size_t)BLOCK_WORDS >> wide, per_tile = (size_t)FI_TILE_WORDS >> wide;
    uint64_t block = start >> (2 - wide);
    size_t skip = (size_t)start & (per_block - 1); /* elements of the first block not asked for */
    while (count) {
        const uint64_t left = HIGH_STEP - block % HIGH_STEP; /* blocks before word 1 changes */
        size_t tiles = count >> (7 - wide);
        if (tiles > left / FI_TILE_BLOCKS) tiles = (size_t)(left / FI_TILE_BLOCKS);
        if (skip == 0 && tiles > 0) {
            add(c, out, block, tiles);
            out += tiles * per_tile * size;
            count -= tiles * per_tile;
            block += tiles * FI_TILE_BLOCKS;
            continue;
        }
        size_t some = per_tile - skip;
        if (left < FI_TILE_BLOCKS) some = (size_t)left * per_block - skip;
        if (some > count) some = count;
        add_part(c, out, block, skip * size, some * size);
        out += some * size;
        count -= some;
        block += (skip + some) >> (2 - wide);
        skip = (skip + some) & (per_block - 1);
    }
}

enum { PATTERN_SIZE = 64 }; /* a multiple of every element's */

static void repeat_run(unsigned char *out, size_t size, const unsigned char *pattern,
                       int one_byte) {
    if (one_byte) {
        memset(out, pattern[0], size);
        return;
    }
    for (; size >= PATTERN_SIZE; out += PATTERN_SIZE, size -= PATTERN_SIZE)
        memcpy(out, pattern, PATTERN_SIZE);
    memcpy(out, pattern, size);
}

static void repeat_rows(unsigned char *out, const fi_rows *rows, uint64_t pattern, size_t item) {
    unsigned char bytes[PATTERN_SIZE];
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    pattern <<= 64 - 8 * item; /* its lowest bytes come first in memory */
#endif
    for (size_t i = 0; i < sizeof bytes; i += item) memcpy(bytes + i, &pattern, item);
    const int one_byte = !memcmp(bytes, bytes + 1, sizeof bytes - 1);
    const size_t size = rows->count * item;
    fi_walk walk;
    fi_walk_begin(&walk, out, rows);
    do {
        const fi_axis *axis = &walk.inner;
        if (size <= sizeof bytes)
            fi_put_rows(walk.out, axis->out_step, bytes, 0, axis->count, size);
        else
            for (size_t row = 0; row < axis->count; row++)
                repeat_run(walk.out + (ptrdiff_t)row * axis->out_step, size, bytes, one_byte);
    } while (fi_walk_on(&walk));
}

static int rows_empty(const fi_rows *rows) {
    int empty = rows->count == 0;
    for (size_t axis = 0; axis < rows->axes; axis++) empty |= rows->axis[axis].count == 0;
    return empty;
}

/* Whether every element number of these rows, of which none is empty, is below 2^63. */
static int rows_in_range(const fi_rows *rows) {
    const uint64_t limit = UINT64_C(1) << 63;
    uint64_t span, end;
    if (__builtin_add_overflow(rows->start, (uint64_t)rows->count, &end)) return 0;
    for (size_t axis = 0; axis < rows->axes; axis++) {
        const uint64_t steps = rows->axis[axis].count - 1;
        if (__builtin_mul_overflow(steps, rows->axis[axis].start_step, &span) ||
            __builtin_add_overflow(end, span, &end))
            return 0;
    }
    return end <= limit;
}

static int spec_in_range(const fi_spec *spec, uint32_t dtype) {
    /* No tail probability of the symmetric kernel may lie outside the octaves it looks at. */
    if (spec->distribution == FI_SYMMETRIC && dtype != FI_FLOAT64 &&
        !(spec->base[0] >= 0 && spec->slope[0] >= 0 && spec->base[0] + spec->slope[0] / 2 >= 0.5 &&
          spec->base[0] + spec->slope[0] * 0x1p31 < 0x1.8p31))
        return 0;
    if (spec->octave != 0 && spec->distribution != FI_TRUNCATED) return 0;
    return spec->distribution <= FI_CONSTANT && spec->octave <= FI_OCTAVES - 32 &&
           !(spec->sign_and & 0x7FFFFFFFu) && !(spec->sign_xor & 0x7FFFFFFFu);
}

/* Which of the kernels makes this: a uniform's values rise with the word, so if the ends of its
 * range lie within its bounds, all do, and rounding takes none across a bound of the type.  Except
 * that a bound of 0 also makes zeros of -0: then the ends have to keep away from it. */
static uint32_t kernel_of(const fi_spec *spec, uint32_t dtype) {
    const double s = dtype == FI_FLOAT64 ? 0x1p53 - 1 : 0x1p24 - 1, away = 0x1p-100;
    const double least = -s * spec->scale + spec->shift, most = s * spec->scale + spec->shift;
    if (spec->distribution == FI_UNIFORM && spec->scale >= 0 && spec->low <= least &&
        most <= spec->high && (spec->low != 0 || least > away) && (spec->high != 0 || most < -away))
        return FI_UNIFORM_INSIDE;
    return spec->distribution;
}

/* Whether it is better to pick words out, which costs a quarter more per value, than to make the
 * tiles that these rows lie in: because more than that of them is not wanted, or because float64's
 * tails want many values together. */
static int short_rows(const fi_rows *rows, int wide) {
    const uint64_t within = (UINT64_C(4) >> wide) - 1;
    uint64_t places = rows->start;
    for (size_t axis = 0; axis < rows->axes; axis++) places |= rows->axis[axis].start_step;
    const size_t skip = places & within ? (size_t)within << wide : 0; /* words, at most */
    if (rows->count > (size_t)FI_SHORT_WORDS >> wide) return 0;
    const size_t words = rows->count << wide;
    const size_t made = (skip + words + FI_TILE_WORDS - 1) / FI_TILE_WORDS * FI_TILE_WORDS;
    return wide || made > words + words / 4;
}

static void fill_long(unsigned char *out, uint32_t dtype, const fi_rows *rows, fi_draw *draw,
                      const fi_spec *spec) {
    call c; /* not set to zero: it is large */
    begin(&c, draw, spec);
    fi_walk walk;
    fi_walk_begin(&walk, out, rows);
    do
        for (size_t row = 0; row < walk.inner.count; row++)
            add_run(&c, walk.out + (ptrdiff_t)row * walk.inner.out_step,
                    walk.start + row * walk.inner.start_step, rows->count, fi_item_size(dtype),
                    dtype == FI_FLOAT64);
    while (fi_walk_on(&walk));
    finish(&c);
}

/* Not inlined, nor is `map`: its own arithmetic too belongs between entering and leaving. */
FI_NOINLINE fi_status fill(unsigned char *out, uint32_t dtype, const fi_rows *rows,
                           const fi_spec *spec) {
    const size_t size = fi_item_size(dtype);
    if (!size || !spec_in_range(spec, dtype) || rows->axes > FI_MOST_AXES) return FI_ERR_RANGE;
    if (rows_empty(rows)) return FI_OK;
    if (!rows_in_range(rows)) return FI_ERR_RANGE;
    const uint32_t kernel = kernel_of(spec, dtype);
    if (spec->distribution == FI_CONSTANT)
        repeat_rows(out, rows, spec->pattern, size);
    else if (rows->axes && short_rows(rows, dtype == FI_FLOAT64))
        fi_fill_short(out, dtype, rows, fi_active_kernels()->convert[kernel][dtype], spec);
    else
        fill_long(out, dtype, rows, fi_active_kernels()->draw[kernel][dtype], spec);
    return FI_OK;
}

fi_status fi_fill(void *out, uint32_t dtype, const fi_rows *rows, const fi_spec *spec) {
    const uint64_t saved = fi_float_enter();
    const fi_status status = fill(out, dtype, rows, spec);
    fi_float_leave(saved);
    return status;
}

fi_status fi_words(uint32_t *out, uint64_t start, size_t count, uint64_t key,
                   uint64_t subsequence) {
    const fi_spec spec = {.key = key, .subsequence = subsequence};
    uint64_t last;
    if (count && __builtin_add_overflow(start, (uint64_t)count - 1, &last)) return FI_ERR_RANGE;
    call c;
    begin(&c, fi_active_kernels()->words, &spec);
    add_run(&c, (unsigned char *)out, start, count, 4, 0);
    finish(&c);
    return FI_OK;
}

FI_NOINLINE fi_status map(unsigned char *out, uint32_t dtype, const uint32_t *words, size_t count,
                          const fi_spec *spec) {
    const size_t size = fi_item_size(dtype);
    if (!size || !spec_in_range(spec, dtype) || spec->distribution == FI_CONSTANT)
        return FI_ERR_RANGE;
    if (dtype == FI_FLOAT64 && count % 2) return FI_ERR_RANGE;
    fi_convert *convert = fi_active_kernels()->convert[kernel_of(spec, dtype)][dtype];
    const size_t tiles = count / FI_TILE_WORDS, rest = count % FI_TILE_WORDS;
    const size_t tile_size = FI_TILE_WORDS * size / (dtype == FI_FLOAT64 ? 2 : 1);
    convert(out, words, tiles, spec);
    if (rest) {
        uint32_t some[FI_TILE_WORDS] = {0};
        unsigned char tile[FI_TILE_WORDS * 4];
        memcpy(some, words + tiles * FI_TILE_WORDS, rest * 4);
        convert(tile, some, 1, spec);
        memcpy(out + tiles * tile_size, tile, tile_size * rest / FI_TILE_WORDS);
    }
    return FI_OK;
}

fi_status fi_map(void *out, uint32_t dtype, const uint32_t *words, size_t count,
                 const fi_spec *spec) {
    const uint64_t saved = fi_float_enter();
    const fi_status status = map(out, dtype, words, count, spec);
    fi_float_leave(saved);
    return status;
}

/* Plain, for one block: what the vector kernels are checked against by Random123's answers. */
void fi_philox4x32(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2]) {
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        const uint64_t product0 = UINT64_C(0xD2511F53) * c0, product1 = UINT64_C(0xCD9E8D57) * c2;
        c0 = (uint32_t)(product1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)product1;
        c2 = (uint32_t)(product0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)product0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}
