/* SPDX-License-Identifier: MIT
 * The kernels of a device, assembled from the vocabulary in force: what all.h and fill.c are to a
 * CPU.  Included once by isa_cuda.cu.  How a fill is cut into launches is not known here.
 *
 * A block of threads makes a pass at a time: V_GROUPS * FI_THREADS Philox blocks, of which each
 * thread makes V_GROUPS.  Full passes are stored a block at once, 16 bytes of float32; the ragged
 * ends of a row, and rows that are not aligned to that, element by element.
 *
 * There are three kinds of kernels, each for every kernel and dtype and named after them, such as
 * rows_FI_NORMAL_FI_FLOAT32.  Their parameters are the structures below. */
#include "philox.h"
#include "quantile.h"
#include "values.h"
#include "narrow.h"
#include "float64.h"

/* FI_ROWS: rows at equal distances, each of elements that follow each other both in the tensor and
 * in memory.  Grid: x blocks of threads share a row's passes, y blocks share the rows.  The block
 * numbers of one row all have the same upper 32 bits: the host splits a row that does not. */
typedef struct fi_device_rows {
    uint64_t start, start_step; /* the first row's first element; from row to row */
    uint64_t count, rows;       /* elements in a row, 1 or more; how many rows */
    int64_t out_step;           /* bytes from row to row */
} fi_device_rows;

/* FI_SCATTERED: elements at equal distances along axes, each made from a block of its own.  The first
 * axis is the one along which memory is densest.  An element's place along it is the remainder of
 * its number by `count`; the quotient goes on to the next axis.  For n < 2^31 it is
 *     n / count = ((n * magic >> 32) + n) >> shift,   2^(shift - 1) < count <= 2^shift,
 *     magic = 2^32 (2^shift - count) / count + 1, rounded down
 * (Granlund and Montgomery 1994, "Division by invariant integers using multiplication"). */
enum { FI_DEVICE_AXES = 6 };
typedef struct fi_device_axis {
    uint32_t count, magic, shift, reserved;
    int64_t step, stride; /* elements of the tensor; bytes of memory */
} fi_device_axis;
typedef struct fi_device_axes {
    uint64_t start;
    uint32_t total, axes; /* elements, fewer than 2^31; axes in use */
    fi_device_axis axis[FI_DEVICE_AXES];
} fi_device_axes;

/* FI_JOBS: runs of many tensors in one launch, which share all of a spec but the subsequence.  A job
 * is done by the blocks of threads from its `first` to the next job's, or to `blocks`, which is the
 * size of the grid.  As in a row, its block numbers all have the same upper 32 bits. */
enum { FI_DEVICE_JOBS = 96 };
typedef struct fi_device_job {
    unsigned char *out;
    uint64_t start, count, subsequence; /* count: 1 or more */
    uint32_t first, reserved;
} fi_device_job;
typedef struct fi_device_jobs {
    fi_spec spec;
    uint32_t count, blocks;
    uint64_t reserved;
    fi_device_job job[FI_DEVICE_JOBS];
} fi_device_jobs;
static_assert(sizeof(fi_device_jobs) <= 4096, "the parameters of a kernel take 4 KiB at most");

/* ---- the elements of a block ---- */

template <int dtype> struct element;
#define FI_DTYPE(code, name, size)                                                                 \
    template <> struct element<code> {                                                             \
        enum { SIZE = size, PER_BLOCK = size == 8 ? 2 : 4, BLOCK_SIZE = SIZE * PER_BLOCK };        \
    };
#include "dtype_list.h"

/* What is stored at once.  Of 32-bit numbers, since those are what a register holds. */
template <int size> struct alignas(size) packed {
    uint32_t part[size / 4];
};
template <> struct alignas(2) packed<2> {
    uint16_t part[1];
};
template <> struct alignas(1) packed<1> {
    uint8_t part[1];
};

/* Element `i` of a block. */
template <int dtype>
FI_INLINE packed<element<dtype>::SIZE> element_of(const packed<element<dtype>::BLOCK_SIZE> &made,
                                                  int i) {
    packed<element<dtype>::SIZE> one;
    memcpy(&one, (const unsigned char *)made.part + i * sizeof one, sizeof one);
    return one;
}

/* The same pattern in each element. */
template <int dtype>
FI_INLINE void repeat_pattern(packed<element<dtype>::BLOCK_SIZE> *out, uint64_t pattern) {
    uint32_t low = (uint32_t)pattern, high = (uint32_t)(pattern >> 32);
    if (element<dtype>::SIZE == 1) low = (low & 0xFFu) * 0x01010101u;
    if (element<dtype>::SIZE == 2) low = (low & 0xFFFFu) * 0x00010001u;
    FI_UNROLL
    for (int i = 0; i < element<dtype>::BLOCK_SIZE / 4; i++)
        out->part[i] = element<dtype>::SIZE == 8 && i % 2 ? high : low;
}

/* `count` float64 values.  A thread collects its tail lanes, as make_piece64 in all.h does: threads
 * of a warp then wait for as many tails as the one with the most has, not for each of its values. */
template <int kernel, int count>
FI_INLINE void make_values64(unsigned char *out, const vu32 *words, const fi_spec *spec) {
    const fi_distribution distribution = kernel_distribution(kernel);
    const int clamp = kernel_clamps(kernel, FI_FLOAT64);
    double tails[count + V_BATCH64];
    unsigned char lanes[count];
    unsigned found = 0;
    FI_UNROLL
    for (int n = 0; n < count; n += V_BATCH64) {
        if (distribution == FI_UNIFORM)
            store_uniforms64(out + 8 * n, words, n, spec, clamp);
        else
            found += store_centres64(out + 8 * n, tails + found, lanes + n, words, n, spec,
                                     distribution, clamp);
    }
    if (distribution != FI_UNIFORM) store_tails64(out, tails, found, lanes, count, spec, clamp);
}

/* The elements of `blocks` blocks, from their words. */
template <int kernel, int dtype, int blocks>
FI_INLINE void make_blocks(packed<element<dtype>::BLOCK_SIZE> *out, const vu32 *words,
                           const values *v, const fi_spec *spec) {
    if constexpr (kernel == FI_CONSTANT) {
        FI_UNROLL
        for (int g = 0; g < blocks; g++) repeat_pattern<dtype>(out + g, spec->pattern);
    } else if constexpr (dtype == FI_FLOAT64) {
        make_values64<kernel, 2 * blocks>((unsigned char *)out, words, spec);
    } else {
        const fi_distribution distribution = kernel_distribution(kernel);
        const int clamp = kernel_clamps(kernel, (fi_dtype)dtype);
        FI_UNROLL
        for (int g = 0; g < blocks; g++) {
            vf32 batch[V_BATCH];
            values_of(v, distribution, clamp, words + g * V_VECTORS, batch, V_BATCH);
            store_values((unsigned char *)out[g].part, (fi_dtype)dtype, batch);
        }
    }
}

/* Whether a kernel looks its values up. */
template <int kernel, int dtype> FI_INLINE bool has_table() {
    return dtype != FI_FLOAT64 && kernel != FI_CONSTANT &&
           kernel_distribution(kernel) != FI_UNIFORM;
}

/* ---- rows ---- */

/* Those of a block's elements whose numbers, of which `number` is the first, are `least` or more
 * and less than `end`. */
template <int dtype>
FI_INLINE void store_some(unsigned char *out, const packed<element<dtype>::BLOCK_SIZE> &made,
                          uint64_t number, uint64_t least, uint64_t end) {
    typedef packed<element<dtype>::SIZE> one;
    FI_UNROLL
    for (int i = 0; i < element<dtype>::PER_BLOCK; i++)
        if (number + i >= least && number + i < end)
            *(one *)(out + (number + i) * sizeof(one)) = element_of<dtype>(made, i);
}

/* A number that the compiler keeps in a register instead of computing it again in every pass. */
FI_INLINE uint32_t kept(uint32_t a) {
#if defined(__CUDA_ARCH__)
    asm("" : "+r"(a));
#endif
    return a;
}

/* For kernels with the table 3 % fewer instructions; the shorter ones come out longer. */
FI_INLINE philox kept_philox(philox p) {
    p.first = plane_set(kept(p.first.word));
    p.second0 = plane_set(kept(p.second0.word));
    p.second2 = plane_set(kept(p.second2.word));
    p.key1[2] = plane_set(kept(p.key1[2].word));
    return p;
}

/* The passes `pass`, `pass + pass_step` and so on of one row. */
template <int kernel, int dtype>
FI_INLINE void make_row(unsigned char *out, uint64_t start, uint64_t count, const values *v,
                        const fi_spec *spec, uint32_t pass, uint32_t pass_step) {
    typedef packed<element<dtype>::BLOCK_SIZE> block;
    enum { PER_BLOCK = element<dtype>::PER_BLOCK, PASS_BLOCKS = V_GROUPS * V_BLOCKS };
    const uint64_t first = start / PER_BLOCK;
    const uint32_t skip = (uint32_t)(start % PER_BLOCK); /* elements of it not asked for */
    const uint64_t end = count + skip;                   /* elements from its first one on */
    const uint32_t passes = (uint32_t)((end - 1) / (PASS_BLOCKS * PER_BLOCK)) + 1;
    out -= skip * element<dtype>::SIZE;
    /* Passes from `least` to before `most` are stored whole. */
    const uint32_t least = skip != 0;
    const uint32_t most =
        (size_t)out % sizeof(block) == 0 ? (uint32_t)(end / (PASS_BLOCKS * PER_BLOCK)) : 0;
    philox p = philox_start(spec->key, spec->subsequence, (uint32_t)(first >> 32));
    uint32_t low = (uint32_t)first;
    if (has_table<kernel, dtype>()) p = kept_philox(p), low = kept(low);
    for (; pass < passes; pass += pass_step) {
        const uint32_t n = pass * PASS_BLOCKS + threadIdx.x;
        vu32 words[V_GROUPS * V_VECTORS];
        if (kernel != FI_CONSTANT) philox_words(&p, low + n, NULL, words);
        block made[V_GROUPS];
        make_blocks<kernel, dtype, V_GROUPS>(made, words, v, spec);
        if (pass >= least && pass < most) {
            block *to = (block *)out + n;
            FI_UNROLL
            for (int g = 0; g < V_GROUPS; g++) to[g * V_BLOCKS] = made[g];
        } else {
            FI_UNROLL
            for (int g = 0; g < V_GROUPS; g++)
                store_some<dtype>(out, made[g], (uint64_t)(n + g * V_BLOCKS) * PER_BLOCK, skip,
                                  end);
        }
    }
}

template <int kernel, int dtype>
FI_INLINE void make_rows(unsigned char *out, const fi_device_rows *rows, const fi_spec *spec) {
    const values v = values_start(spec, has_table<kernel, dtype>());
    for (uint64_t row = blockIdx.y; row < rows->rows; row += gridDim.y)
        make_row<kernel, dtype>(out + (int64_t)row * rows->out_step,
                                rows->start + row * rows->start_step, rows->count, &v, spec,
                                blockIdx.x, gridDim.x);
}

/* ---- scattered elements ---- */

/* One value from the words of its block: its own words come first, and nothing looks at the rest. */
template <int dtype> FI_INLINE void own_words(vu32 *words, uint32_t place) {
    if (dtype == FI_FLOAT64) {
        if (place) words[0] = words[2], words[1] = words[3];
    } else {
        const vu32 even = place & 2 ? words[2] : words[0], odd = place & 2 ? words[3] : words[1];
        words[0] = place & 1 ? odd : even;
        FI_UNROLL
        for (int i = 1; i < V_VECTORS; i++) words[i] = words[0];
    }
}

template <int kernel, int dtype>
FI_INLINE void make_scattered(unsigned char *out, const fi_device_axes *axes, const fi_spec *spec) {
    enum { PER_BLOCK = element<dtype>::PER_BLOCK };
    typedef packed<element<dtype>::SIZE> one;
    const values v = values_start(spec, has_table<kernel, dtype>());
    for (uint32_t n = blockIdx.x * FI_THREADS + threadIdx.x; n < axes->total;
         n += gridDim.x * FI_THREADS) {
        uint32_t rest = n;
        uint64_t number = axes->start;
        unsigned char *to = out;
        for (uint32_t a = 0; a < axes->axes; a++) {
            const fi_device_axis *axis = &axes->axis[a];
            const uint32_t high = (uint32_t)((uint64_t)rest * axis->magic >> 32);
            const uint32_t outer = (high + rest) >> axis->shift;
            const uint32_t index = rest - outer * axis->count;
            number += (uint64_t)(index * axis->step);
            to += index * axis->stride;
            rest = outer;
        }
        vu32 words[V_GROUPS * V_VECTORS];
        if (kernel != FI_CONSTANT) {
            const uint64_t block = number / PER_BLOCK;
            const philox p = philox_start(spec->key, spec->subsequence, (uint32_t)(block >> 32));
            philox_words(&p, (uint32_t)block, NULL, words);
            own_words<dtype>(words, (uint32_t)number % PER_BLOCK);
        }
        packed<element<dtype>::BLOCK_SIZE> made;
        make_blocks<kernel, dtype, 1>(&made, words, &v, spec);
        *(one *)to = element_of<dtype>(made, 0);
    }
}

/* ---- jobs ---- */

template <int kernel, int dtype> FI_INLINE void make_job(const fi_device_jobs *jobs) {
    const values v = values_start(&jobs->spec, has_table<kernel, dtype>());
    uint32_t low = 0, high = jobs->count; /* the last whose `first` is not past this one */
    while (high - low > 1) {
        const uint32_t middle = (low + high) / 2;
        if (jobs->job[middle].first <= blockIdx.x)
            low = middle;
        else
            high = middle;
    }
    const fi_device_job *job = &jobs->job[low];
    const uint32_t next = high < jobs->count ? jobs->job[high].first : jobs->blocks;
    fi_spec spec = jobs->spec;
    spec.subsequence = job->subsequence;
    make_row<kernel, dtype>(job->out, job->start, job->count, &v, &spec, blockIdx.x - job->first,
                            next - job->first);
}

/* ---- the kernels ---- */

#if !defined(FI_RESIDENT)
#define FI_RESIDENT 4 /* blocks of threads on a multiprocessor: 64 registers a thread */
#endif
#define FI_GLOBAL extern "C" __global__ void __launch_bounds__(FI_THREADS, FI_RESIDENT)

#define FI_ROWS(kernel, dtype)                                                                     \
    FI_GLOBAL rows_##kernel##_##dtype(unsigned char *out,                                          \
                                      const __grid_constant__ fi_device_rows rows,                 \
                                      const __grid_constant__ fi_spec spec) {                      \
        make_rows<kernel, dtype>(out, &rows, &spec);                                               \
    }
#define FI_SCATTERED(kernel, dtype)                                                                \
    FI_GLOBAL scattered_##kernel##_##dtype(unsigned char *out,                                     \
                                           const __grid_constant__ fi_device_axes axes,            \
                                           const __grid_constant__ fi_spec spec) {                 \
        make_scattered<kernel, dtype>(out, &axes, &spec);                                          \
    }
#define FI_JOBS(kernel, dtype)                                                                     \
    FI_GLOBAL jobs_##kernel##_##dtype(const __grid_constant__ fi_device_jobs jobs) {               \
        make_job<kernel, dtype>(&jobs);                                                            \
    }

/* Constants are a kernel too. */
#define FI_EACH_DEVICE_KERNEL(X, dtype)                                                            \
    X(FI_UNIFORM, dtype)                                                                           \
    X(FI_NORMAL, dtype)                                                                            \
    X(FI_CLIPPED, dtype)                                                                           \
    X(FI_SYMMETRIC, dtype)                                                                         \
    X(FI_TRUNCATED, dtype)                                                                         \
    X(FI_CONSTANT, dtype)                                                                          \
    X(FI_UNIFORM_INSIDE, dtype)

#define FI_EVERY_KIND(kernel, dtype)                                                               \
    FI_ROWS(kernel, dtype) FI_SCATTERED(kernel, dtype) FI_JOBS(kernel, dtype)

#if defined(FI_ONLY)
FI_ONLY
#else
#define FI_DTYPE(code, name, size) FI_EACH_DEVICE_KERNEL(FI_EVERY_KIND, code)
#include "dtype_list.h"
#endif
