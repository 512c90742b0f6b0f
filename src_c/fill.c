/* SPDX-License-Identifier: MIT
 * From any run of elements to whole tiles: ragged ends, rows, constants, and the floating-point
 * environment.  The numbers themselves are made in kernels/. */
#if defined(__AVX__)
#error "this file runs on any x86-64: build it without -mavx or -march=native"
#endif

#include <string.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "kernels.h"

enum { BLOCK_WORDS = 4 };
_Static_assert(BLOCK_WORDS == 1 << 2 && FI_TILE_WORDS == 1 << 7, "add_run shifts by these");
static const uint64_t HIGH_STEP = UINT64_C(1) << 32; /* blocks with one counter word 1 */

#if defined(__x86_64__)
uint64_t fi_float_enter(void) {
    const unsigned int saved = _mm_getcsr();
    _mm_setcsr(0x1F80); /* all exceptions masked, to nearest, denormals kept */
    return saved;
}
void fi_float_leave(uint64_t saved) { _mm_setcsr((unsigned int)saved); }
#elif defined(__aarch64__)
uint64_t fi_float_enter(void) {
    uint64_t saved;
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved));
    __asm__ volatile("msr fpcr, %0" ::"r"(UINT64_C(0)));
    return saved;
}
void fi_float_leave(uint64_t saved) { __asm__ volatile("msr fpcr, %0" ::"r"(saved)); }
#else
uint64_t fi_float_enter(void) { return 0; }
void fi_float_leave(uint64_t saved) { (void)saved; }
#endif

size_t fi_dtype_size(uint32_t dtype) {
    static const unsigned char SIZES[FI_DTYPE_COUNT] = {
        [FI_FLOAT32] = 4,       [FI_FLOAT16] = 2,     [FI_BFLOAT16] = 2,
        [FI_FLOAT8_E4M3FN] = 1, [FI_FLOAT8_E5M2] = 1, [FI_FLOAT64] = 8,
    };
    return dtype < FI_DTYPE_COUNT ? SIZES[dtype] : 0;
}

/* What one call of a kernel makes.  Kernels make whole tiles, straight into place where the fill
 * wants all of a tile; the ragged ends go by way of a tile of our own. */
enum { PIECES = 16 };
typedef struct batch {
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
} batch;

static void begin(batch *b, fi_draw *draw, const fi_spec *spec) {
    b->draw = draw;
    b->spec = spec;
    b->pieces = b->copies = 0;
}

static void finish(batch *b) {
    if (b->pieces) b->draw(b->piece, b->pieces, b->spec);
    for (size_t i = 0; i < b->copies; i++) memcpy(b->copy[i].out, b->copy[i].from, b->copy[i].size);
    b->pieces = b->copies = 0;
}

static void add(batch *b, unsigned char *out, uint64_t block, size_t tiles) {
    const int full = b->pieces == PIECES;
    if (full || (b->pieces && b->piece->block / HIGH_STEP != block / HIGH_STEP)) finish(b);
    b->piece[b->pieces++] = (fi_piece){out, block, tiles};
}

/* `size` bytes, from byte `skip` on, of the tile that begins with `block`. */
static void add_part(batch *b, unsigned char *out, uint64_t block, size_t skip, size_t size) {
    add(b, NULL, block, 1);
    unsigned char *tile = b->tile[b->pieces - 1];
    b->piece[b->pieces - 1].out = tile;
    b->copy[b->copies].out = out;
    b->copy[b->copies].from = tile + skip;
    b->copy[b->copies++].size = size;
}

/* `count` elements from `start`, each of `size` bytes and, if it is `wide`, of two words. */
static void add_run(batch *b, unsigned char *out, uint64_t start, size_t count, size_t size,
                    int wide) {
    const size_t per_block = (size_t)BLOCK_WORDS >> wide, per_tile = (size_t)FI_TILE_WORDS >> wide;
    uint64_t block = start >> (2 - wide);
    size_t skip = (size_t)start & (per_block - 1); /* elements of the first block not asked for */
    while (count) {
        const uint64_t left = HIGH_STEP - block % HIGH_STEP; /* blocks before word 1 changes */
        size_t tiles = count >> (7 - wide);
        if (tiles > left / FI_TILE_BLOCKS) tiles = (size_t)(left / FI_TILE_BLOCKS);
        if (skip == 0 && tiles > 0) {
            add(b, out, block, tiles);
            out += tiles * per_tile * size;
            count -= tiles * per_tile;
            block += tiles * FI_TILE_BLOCKS;
            continue;
        }
        size_t some = per_tile - skip;
        if (left < FI_TILE_BLOCKS) some = (size_t)left * per_block - skip;
        if (some > count) some = count;
        add_part(b, out, block, skip * size, some * size);
        out += some * size;
        count -= some;
        block += (skip + some) >> (2 - wide);
        skip = (skip + some) & (per_block - 1);
    }
}

static void repeat_run(unsigned char *out, size_t size, uint64_t pattern, size_t item) {
    unsigned char bytes[64];
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    pattern <<= 64 - 8 * item; /* its lowest bytes come first in memory */
#endif
    for (size_t i = 0; i < sizeof bytes; i += item) memcpy(bytes + i, &pattern, item);
    if (!memcmp(bytes, bytes + 1, sizeof bytes - 1)) {
        memset(out, bytes[0], size);
        return;
    }
    for (; size >= sizeof bytes; out += sizeof bytes, size -= sizeof bytes)
        memcpy(out, bytes, sizeof bytes);
    memcpy(out, bytes, size);
}

/* Whether every element number of these rows is below 2^63. */
static int rows_in_range(const fi_rows *rows) {
    const uint64_t limit = UINT64_C(1) << 63;
    uint64_t span, end;
    if (rows->rows == 0 || rows->count == 0) return 1;
    return !__builtin_mul_overflow((uint64_t)(rows->rows - 1), rows->start_step, &span) &&
           !__builtin_add_overflow(span, rows->start, &end) &&
           !__builtin_add_overflow(end, (uint64_t)rows->count, &end) && end <= limit;
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

/* Not inlined, nor is `map`: its own arithmetic too belongs between entering and leaving. */
static __attribute__((noinline)) fi_status fill(unsigned char *out, uint32_t dtype, const fi_rows *rows,
                      const fi_spec *spec) {
    const size_t size = fi_dtype_size(dtype);
    if (!size || !spec_in_range(spec, dtype) || !rows_in_range(rows)) return FI_ERR_RANGE;
    if (spec->distribution == FI_CONSTANT) {
        for (size_t r = 0; r < rows->rows; r++)
            repeat_run(out + (ptrdiff_t)r * rows->out_step, rows->count * size, spec->pattern, size);
        return FI_OK;
    }
    batch b; /* not set to zero: it is large */
    begin(&b, fi_active_kernels()->draw[kernel_of(spec, dtype)][dtype], spec);
    for (size_t r = 0; r < rows->rows; r++)
        add_run(&b, out + (ptrdiff_t)r * rows->out_step, rows->start + r * rows->start_step,
                rows->count, size, dtype == FI_FLOAT64);
    finish(&b);
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
    batch b;
    begin(&b, fi_active_kernels()->words, &spec);
    add_run(&b, (unsigned char *)out, start, count, 4, 0);
    finish(&b);
    return FI_OK;
}

static __attribute__((noinline)) fi_status map(unsigned char *out, uint32_t dtype, const uint32_t *words, size_t count,
                     const fi_spec *spec) {
    const size_t size = fi_dtype_size(dtype);
    if (!size || !spec_in_range(spec, dtype) || spec->distribution == FI_CONSTANT) return FI_ERR_RANGE;
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
