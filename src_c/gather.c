/* SPDX-License-Identifier: MIT
 * Short rows: elements that lie scattered in the tensor, in memory or in both.  Numbers are made in
 * kernels/, long rows in fill.c.
 *
 * A tile for each row would be made for a few of its values.  Instead the blocks that many rows lie
 * in are listed and drawn together, whatever their numbers; the words that are wanted are picked
 * out of them and mapped together, and the values are put in their places.  A value that shares its
 * block with no other costs four words and one map. */
#if defined(__AVX__)
#error "this file runs on any x86-64: build it without -mavx or -march=native"
#endif

#include <string.h>

#include "rows.h"

/* All of it stays in a first cache of 32 KiB. */
enum {
    MANY_BLOCKS = 512, /* listed before they are drawn, at most */
    MANY_WORDS = 1024, /* picked out of them, at most */
    MANY_SERIES = 128,
    PADDED_BLOCKS = MANY_BLOCKS + FI_TILE_BLOCKS, /* they are drawn by the tile */
};
_Static_assert((int)FI_SHORT_WORDS <= MANY_WORDS, "the words of a row fit");
_Static_assert(FI_SHORT_WORDS / 4 + 2 <= MANY_BLOCKS, "its blocks fit");
_Static_assert(MANY_WORDS % FI_TILE_WORDS == 0, "words are mapped by the tile");
_Static_assert(4 * PADDED_BLOCKS <= UINT16_MAX, "`first` can name every word");

/* Rows at equal distances, listed together. */
typedef struct series {
    unsigned char *out;
    ptrdiff_t out_step;
    size_t rows;
    int consecutive; /* whether each row's words follow those of the row before */
} series;

typedef struct gathering {
    fi_gather *gather;
    fi_convert *convert;
    const fi_spec *spec;
    int wide, shift;                  /* an element has 2^wide words, a block 2^shift elements */
    size_t count, words, size;        /* of a row: elements, words, bytes */
    size_t most_blocks, most_rows;    /* blocks of a row; rows whose words there is room for */
    size_t blocks, drawn, rows, many; /* blocks listed and drawn; rows and series listed */
    uint32_t high;                    /* counter word 1 of the blocks that are not drawn yet */
    uint32_t block[PADDED_BLOCKS];    /* counter word 0 */
    uint32_t drawn_words[4 * PADDED_BLOCKS];
    uint16_t first[MANY_WORDS]; /* which of them is the first of each row */
    uint32_t picked[MANY_WORDS];
    unsigned char values[4 * MANY_WORDS];
    series series[MANY_SERIES];
} gathering;

static void begin(gathering *g) { g->blocks = g->drawn = g->rows = g->many = 0; }

/* Make the words of the blocks that were listed since the last time. */
static void draw(gathering *g) {
    const size_t count = g->blocks - g->drawn;
    const size_t padded = (count + FI_TILE_BLOCKS - 1) / FI_TILE_BLOCKS * FI_TILE_BLOCKS;
    memset(g->block + g->blocks, 0, (padded - count) * sizeof *g->block);
    g->gather(g->drawn_words + 4 * g->drawn, g->block + g->drawn, padded, g->high, g->spec);
    g->drawn = g->blocks;
}

/* ---- listing ---- */

/* How many of `rows` rows there is room for; `shared`: all of their blocks follow each other. */
static size_t fitting(const gathering *g, uint64_t step, size_t rows, int shared) {
    const size_t room = MANY_BLOCKS - g->blocks, left = g->most_rows - g->rows;
    if (left == 0 || room < g->most_blocks || g->many == MANY_SERIES) return 0;
    if (rows > left) rows = left;
    if (!shared) return rows * g->most_blocks <= room ? rows : room / g->most_blocks;
    const size_t span = (room - g->most_blocks) << g->shift; /* from the first row to the last */
    return (rows - 1) * step <= span ? rows : span / (size_t)step + 1;
}

/* One row whose blocks may change counter word 1 on the way. */
static void list_carefully(gathering *g, uint64_t block, uint64_t last) {
    for (; block <= last; block++) {
        const uint32_t high = (uint32_t)(block >> 32);
        if (high != g->high) {
            draw(g);
            g->high = high;
        }
        g->block[g->blocks++] = (uint32_t)block;
    }
}

/* Rows in whose blocks, from the first to the last, is some of every row or the next. */
static void list_shared(gathering *g, uint64_t start, uint64_t step, size_t rows, uint64_t last) {
    const uint64_t block = start >> g->shift;
    const size_t count = (size_t)(last - block) + 1;
    const size_t first = 4 * g->blocks + ((size_t)(start - (block << g->shift)) << g->wide);
    for (size_t row = 0; row < rows; row++)
        g->first[g->rows + row] = (uint16_t)(first + row * ((size_t)step << g->wide));
    for (size_t i = 0; i < count; i++) g->block[g->blocks + i] = (uint32_t)block + (uint32_t)i;
    g->blocks += count;
}

/* Rows of one element, no two in the same block. */
static void list_single(gathering *g, uint64_t start, uint64_t step, size_t rows) {
    const int wide = g->wide, shift = g->shift;
    const uint64_t within = (UINT64_C(1) << shift) - 1;
    uint32_t *block = g->block + g->blocks;
    uint16_t *first = g->first + g->rows;
    for (size_t row = 0; row < rows; row++, start += step) {
        block[row] = (uint32_t)(start >> shift);
        first[row] = (uint16_t)(4 * (g->blocks + row) + ((start & within) << wide));
    }
    g->blocks += rows;
}

/* Rows that share no block with each other. */
static void list_apart(gathering *g, uint64_t start, uint64_t step, size_t rows) {
    const int wide = g->wide, shift = g->shift;
    const uint64_t within = (UINT64_C(1) << shift) - 1, further = g->count - 1;
    size_t blocks = g->blocks;
    for (size_t row = 0; row < rows; row++, start += step) {
        g->first[g->rows + row] = (uint16_t)(4 * blocks + ((start & within) << wide));
        for (uint64_t block = start >> shift; block <= (start + further) >> shift; block++)
            g->block[blocks++] = (uint32_t)block;
    }
    g->blocks = blocks;
}

/* List rows from element `start` on, as many as there is room for; returns how many. */
static size_t list(gathering *g, uint64_t start, uint64_t step, size_t rows) {
    const uint64_t further = g->count - 1, per_block = UINT64_C(1) << g->shift;
    const int shared = step <= further + per_block; /* no block lies between two rows */
    rows = fitting(g, step, rows, shared);
    if (rows == 0) return 0;
    const uint64_t block = start >> g->shift;
    const uint64_t last = (start + (rows - 1) * step + further) >> g->shift;
    if (g->high != block >> 32 || g->high != last >> 32) {
        rows = 1;
        g->first[g->rows] = (uint16_t)(4 * g->blocks + ((start & (per_block - 1)) << g->wide));
        list_carefully(g, block, (start + further) >> g->shift);
    } else if (shared)
        list_shared(g, start, step, rows, last);
    else if (further == 0)
        list_single(g, start, step, rows);
    else
        list_apart(g, start, step, rows);
    g->rows += rows;
    return rows;
}

/* ---- from blocks to values in their places ---- */

FI_INLINE void pick(uint32_t *to, const uint32_t *words, const uint16_t *first, size_t rows,
                    size_t count) {
    for (size_t row = 0; row < rows; row++) memcpy(to + row * count, words + first[row], 4 * count);
}

/* The words of rows of `count`; counts that the compiler knows need no call for each row. */
static void pick_rows(uint32_t *to, const uint32_t *words, const uint16_t *first, size_t rows,
                      size_t count) {
    switch (count) {
    case 1: pick(to, words, first, rows, 1); break;
    case 2: pick(to, words, first, rows, 2); break;
    case 3: pick(to, words, first, rows, 3); break;
    case 4: pick(to, words, first, rows, 4); break;
    default: pick(to, words, first, rows, count);
    }
}

/* The words of all rows that are listed; returns how many tiles they fill. */
static size_t pick_all(gathering *g) {
    uint32_t *picked = g->picked;
    const uint16_t *first = g->first;
    for (const series *s = g->series; s < g->series + g->many; s++) {
        if (s->consecutive)
            memcpy(picked, g->drawn_words + *first, 4 * g->words * s->rows);
        else
            pick_rows(picked, g->drawn_words, first, s->rows, g->words);
        picked += g->words * s->rows;
        first += s->rows;
    }
    const size_t words = g->words * g->rows;
    const size_t tiles = (words + FI_TILE_WORDS - 1) / FI_TILE_WORDS;
    /* The last tile is filled up with words from the middle, whose maps are the cheapest. */
    memset(picked, 0x40, 4 * (tiles * FI_TILE_WORDS - words));
    return tiles;
}

static void put_all(const gathering *g) {
    const unsigned char *values = g->values;
    for (const series *s = g->series; s < g->series + g->many; s++) {
        if (s->out_step == (ptrdiff_t)g->size)
            memcpy(s->out, values, g->size * s->rows);
        else
            fi_put_rows(s->out, s->out_step, values, g->size, s->rows, g->size);
        values += g->size * s->rows;
    }
}

/* Fill all rows that are listed. */
static void finish(gathering *g) {
    draw(g);
    g->convert(g->values, g->picked, pick_all(g), g->spec);
    put_all(g);
    begin(g);
}

void fi_fill_short(unsigned char *out, uint32_t dtype, const fi_rows *rows, fi_convert *convert,
                   const fi_spec *spec) {
    gathering g; /* not set to zero: it is large */
    g.gather = fi_active_kernels()->gather;
    g.convert = convert;
    g.spec = spec;
    g.wide = dtype == FI_FLOAT64;
    g.shift = 2 - g.wide;
    g.count = rows->count;
    g.words = rows->count << g.wide;
    g.size = rows->count * fi_item_size(dtype);
    g.most_blocks = ((g.count + ((size_t)1 << g.shift) - 2) >> g.shift) + 1;
    g.most_rows = MANY_WORDS / g.words;
    g.high = 0;
    begin(&g);
    fi_walk walk;
    fi_walk_begin(&walk, out, rows);
    do {
        const fi_axis *axis = &walk.inner;
        for (size_t row = 0; row < axis->count;) {
            const size_t some =
                list(&g, walk.start + row * axis->start_step, axis->start_step, axis->count - row);
            if (some)
                g.series[g.many++] = (series){walk.out + (ptrdiff_t)row * axis->out_step,
                                              axis->out_step, some, axis->start_step == g.count};
            else
                finish(&g);
            row += some;
        }
    } while (fi_walk_on(&walk));
    finish(&g);
}
