/* SPDX-License-Identifier: MIT
 * Answers requests on standard input with values from every instruction set of the build, so that
 * builds for other machines can be compared, under an emulator.  It knows only fastinit.h.
 *
 * A request is a line; SPEC is the fields of fi_spec in their order:
 *     fill DTYPE START COUNT GAP AXES ROWS STEP... SPEC   ROWS and STEP of each axis, from outside
 *     words START COUNT KEY SUBSEQUENCE
 *     given COUNT WORD...                              the words that are mapped from here on
 *     map DTYPE SPEC
 * Each (but `given`) is answered by a line for each instruction set: its name, the status, and the
 * elements as integers in hexadecimal, which knows no byte order.  The rows of a fill lie in their
 * order, GAP elements apart; what lies between and after them is answered too.
 *
 * Copies between layouts are checked first, whatever is asked.
 *
 * With the argument `unusual` the floating-point state is, during each call, one that another
 * library might have left behind; it must still be there afterwards.  With the argument `threads`
 * several threads make each answer together, as they do in the package: each makes some parts of
 * PART elements, or rows of the outermost axis. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fastinit.h"

#if defined(__aarch64__)
static const uint64_t USUAL = 0, UNUSUAL = 0x05400000; /* denormals are zero, up, other halves */
static uint64_t float_state(void) {
    uint64_t state;
    __asm__ volatile("mrs %0, fpcr" : "=r"(state));
    return state;
}
static void set_float_state(uint64_t state) { __asm__ volatile("msr fpcr, %0" ::"r"(state)); }
#elif defined(__x86_64__)
#include <xmmintrin.h>
static const uint64_t USUAL = 0x1F80, UNUSUAL = 0xDFC0; /* denormals are zero, up */
static uint64_t float_state(void) { return _mm_getcsr(); }
static void set_float_state(uint64_t state) { _mm_setcsr((unsigned int)state); }
#else
static const uint64_t USUAL = 0, UNUSUAL = 0;
static uint64_t float_state(void) { return 0; }
static void set_float_state(uint64_t state) { (void)state; }
#endif

enum { MOST_WORDS = 1 << 16, MOST_BYTES = 1 << 19, GUARD = 64, GUARD_BYTE = 0xA5 };

static uint32_t given[MOST_WORDS];
static size_t given_count;
static _Alignas(8) unsigned char out[MOST_BYTES + GUARD];
static uint64_t state_during;
static int together; /* whether several threads make an answer */

static void stop(const char *why) {
    fprintf(stderr, "%s\n", why);
    exit(1);
}

static uint64_t integer(void) {
    uint64_t number;
    if (scanf("%" SCNu64, &number) != 1) stop("need an integer");
    return number;
}

static double real(void) {
    double number;
    if (scanf("%la", &number) != 1) stop("need a number such as 0x1.8p+1");
    return number;
}

static fi_spec spec(void) {
    fi_spec s = {.key = integer()};
    s.subsequence = integer();
    s.shift = real();
    s.scale = real();
    s.low = real();
    s.high = real();
    for (int i = 0; i < 2; i++) s.base[i] = real();
    for (int i = 0; i < 2; i++) s.slope[i] = real();
    s.sign_and = (uint32_t)integer();
    s.sign_xor = (uint32_t)integer();
    s.octave = (uint32_t)integer();
    s.distribution = (uint32_t)integer();
    s.pattern = integer();
    return s;
}

static uint64_t element(const unsigned char *p, size_t size) {
    uint16_t two;
    uint32_t four;
    uint64_t eight;
    switch (size) {
    case 1: return *p;
    case 2: memcpy(&two, p, 2); return two;
    case 4: memcpy(&four, p, 4); return four;
    default: memcpy(&eight, p, 8); return eight;
    }
}

static void print_elements(size_t size, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const uint64_t bits = element(out + i * size, size);
        for (size_t digit = 2 * size; digit; digit--)
            putchar("0123456789abcdef"[bits >> 4 * (digit - 1) & 15]);
    }
}

typedef enum what { FILL, WORDS, MAP } what;
typedef struct request {
    what what;
    uint32_t dtype;
    fi_rows rows;
    fi_axis axis[FI_MOST_AXES];
    size_t elements; /* of the answer */
    fi_spec spec;
} request;

static void rows_of(request *r) {
    r->rows.start = integer();
    r->rows.count = (size_t)integer();
    const size_t apart = r->rows.count + (size_t)integer();
    r->rows.axes = (size_t)integer();
    r->rows.axis = r->axis;
    if (r->rows.axes > FI_MOST_AXES) stop("too many axes");
    for (size_t n = 0; n < r->rows.axes; n++) {
        r->axis[n].count = (size_t)integer();
        r->axis[n].start_step = integer();
    }
    r->elements = apart;
    for (size_t n = r->rows.axes; n-- > 0; r->elements *= r->axis[n].count)
        r->axis[n].out_step = (ptrdiff_t)(r->elements * fi_dtype_size(r->dtype));
}

/* The answer to a request, from `to` on. */
static fi_status call(const request *r, unsigned char *to, const uint32_t *words, size_t count) {
    if (r->what == FILL) return fi_fill(to, r->dtype, &r->rows, &r->spec);
    if (r->what == MAP) return fi_map(to, r->dtype, words, count, &r->spec);
    uint32_t *raw = (uint32_t *)(void *)to;
    return fi_words(raw, r->rows.start, r->rows.count, r->spec.key, r->spec.subsequence);
}

enum { THREADS = 4, PART = 37 };

/* What a thread makes: every THREADS-th part from `part` on.  Nothing orders the threads, as a lock
 * or an atomic counter would: so each race between them is seen, whoever comes first. */
typedef struct work {
    const request *request;
    size_t part, parts;
    fi_status status;
} work;

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* Elements that follow each other. */
static size_t run_of(const request *r) { return r->what == MAP ? r->elements : r->rows.count; }

/* Part `number`: a request of its own, for other memory. */
static fi_status call_part(const request *whole, size_t number) {
    request r = *whole;
    const size_t size = fi_dtype_size(r.dtype), first = number * PART;
    const size_t words = r.what == MAP && r.dtype == FI_FLOAT64 ? 2 : 1; /* of an element */
    if (r.rows.axes) {
        r.rows.start += number * r.axis[0].start_step;
        r.rows.axis = whole->axis + 1;
        r.rows.axes--;
        return call(&r, out + (ptrdiff_t)number * r.axis[0].out_step, NULL, 0);
    }
    r.rows.start += first;
    r.rows.count = least(PART, run_of(whole) - first);
    return call(&r, out + first * size, given + first * words, r.rows.count * words);
}

static void *work_on(void *argument) {
    work *w = argument;
    set_float_state(state_during);
    for (; w->part < w->parts; w->part += THREADS) {
        const fi_status status = call_part(w->request, w->part);
        if (status != FI_OK) w->status = status;
    }
    if (float_state() != state_during) stop("the floating-point state of a thread has changed");
    set_float_state(USUAL);
    return NULL;
}

static fi_status call_together(const request *r) {
    const size_t parts = r->rows.axes ? r->axis[0].count : (run_of(r) + PART - 1) / PART;
    work each[THREADS];
    pthread_t thread[THREADS];
    fi_status status = FI_OK;
    for (size_t i = 0; i < THREADS; i++) {
        each[i] = (work){.request = r, .part = i, .parts = parts, .status = FI_OK};
        if (pthread_create(&thread[i], NULL, work_on, &each[i])) stop("no thread");
    }
    for (size_t i = 0; i < THREADS; i++) {
        if (pthread_join(thread[i], NULL)) stop("no end of a thread");
        if (each[i].status != FI_OK) status = each[i].status;
    }
    return status;
}

static void answer(const request *r) {
    const size_t size = fi_dtype_size(r->dtype);
    const size_t bytes = r->elements * size;
    if (bytes > MOST_BYTES) stop("too many bytes");
    for (size_t i = 0; fi_isa_name(i); i++) {
        if (!fi_isa_supported(i)) continue;
        if (fi_isa_select(fi_isa_name(i)) != FI_OK) stop("an instruction set cannot be selected");
        memset(out, GUARD_BYTE, bytes + GUARD);
        set_float_state(state_during);
        const fi_status status = together ? call_together(r) : call(r, out, given, given_count);
        const uint64_t state_after = float_state();
        set_float_state(USUAL);
        if (state_after != state_during) stop("the floating-point state has changed");
        for (size_t g = 0; g < GUARD; g++)
            if (out[bytes + g] != GUARD_BYTE) stop("written past the end");
        printf("%s %d ", fi_isa_active(), (int)status);
        print_elements(size, r->elements);
        putchar('\n');
    }
}

/* Every element size, turned, with `bypass_cache` and without: element n of a PLANES x ROWS x
 * COLUMNS array must lie where the other order has it. */
enum { PLANES = 3, ROWS = 37, COLUMNS = 300, ELEMENTS = PLANES * ROWS * COLUMNS };

static void check_copies(void) {
    static unsigned char from[8 * ELEMENTS], to[8 * ELEMENTS + GUARD];
    for (size_t i = 0; i < sizeof from; i++) from[i] = (unsigned char)(i * 37 + i / 251);
    const size_t counts[3] = {PLANES, ROWS, COLUMNS};
    for (size_t size = 1; size <= 8; size *= 2)
        for (int bypass_cache = 0; bypass_cache < 2; bypass_cache++) {
            const ptrdiff_t s = (ptrdiff_t)size;
            const ptrdiff_t in[3] = {s * ROWS * COLUMNS, s * COLUMNS, s};
            const ptrdiff_t turned[3] = {s * ROWS, s, s * PLANES * ROWS};
            memset(to, GUARD_BYTE, sizeof to);
            if (fi_copy(to, turned, from, in, counts, 3, size, bypass_cache) != FI_OK)
                stop("no copy");
            for (size_t n = 0; n < ELEMENTS; n++) {
                const size_t plane = n / (ROWS * COLUMNS), row = n / COLUMNS % ROWS;
                const size_t place = (n % COLUMNS * PLANES + plane) * ROWS + row;
                if (memcmp(to + place * size, from + n * size, size)) stop("a copy is wrong");
            }
            if (to[size * ELEMENTS] != GUARD_BYTE) stop("copied past the end");
        }
    if (fi_copy(NULL, NULL, NULL, NULL, NULL, 0, 4, 0) != FI_ERR_RANGE) stop("no axis is an error");
    if (fi_copy(NULL, NULL, NULL, NULL, NULL, 1, 3, 0) != FI_ERR_RANGE) stop("size 3 is an error");
}

int main(int arguments, char **argument) {
    check_copies();
    state_during = USUAL;
    if (arguments > 1 && !strcmp(argument[1], "unusual")) state_during = UNUSUAL;
    if (arguments > 1 && !strcmp(argument[1], "threads")) together = 1;
    for (char name[8]; scanf("%7s", name) == 1;) {
        request r = {.what = FILL, .dtype = FI_FLOAT32};
        if (!strcmp(name, "given")) {
            given_count = (size_t)integer();
            if (given_count > MOST_WORDS) stop("too many words");
            for (size_t i = 0; i < given_count; i++) given[i] = (uint32_t)integer();
            continue;
        }
        if (!strcmp(name, "fill")) {
            r.dtype = (uint32_t)integer();
            rows_of(&r);
            r.spec = spec();
        } else if (!strcmp(name, "words")) {
            r.what = WORDS;
            r.rows.start = integer();
            r.elements = r.rows.count = (size_t)integer();
            r.spec.key = integer();
            r.spec.subsequence = integer();
        } else if (!strcmp(name, "map")) {
            r.what = MAP;
            r.dtype = (uint32_t)integer();
            r.elements = r.dtype == FI_FLOAT64 ? given_count / 2 : given_count;
            r.spec = spec();
        } else {
            stop("need fill, words, given or map");
        }
        answer(&r);
    }
    return 0;
}
