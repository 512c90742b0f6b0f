/* SPDX-License-Identifier: MIT
 * The device text on a CPU: a function launch_NAME for each kernel of one dtype, DTYPE.
 * tests/device_text.py builds it. */
#include "cuda_host.h"

#define FI_ONLY FI_EACH_DEVICE_KERNEL(FI_EVERY_KIND, DTYPE)
#include "isa_cuda.cu"

/* Run `thread` as every thread of every block of a grid.  Returns how many threads did not come to
 * a barrier to which others of their block came. */
template <typename Thread> static size_t launch(const unsigned grid[2], Thread thread) {
    volatile size_t missing = 0;
    gridDim = {grid[0], grid[1], 1};
    for (blockIdx.y = 0; blockIdx.y < grid[1]; blockIdx.y++)
        for (blockIdx.x = 0; blockIdx.x < grid[0]; blockIdx.x++) {
            volatile size_t stopped = 0;
            stops_at_barrier = true;
            for (threadIdx.x = 0; threadIdx.x < FI_THREADS; threadIdx.x++)
                if (setjmp(barrier) == 0)
                    thread();
                else
                    stopped = stopped + 1;
            stops_at_barrier = false;
            if (stopped == 0) continue;
            missing = missing + (FI_THREADS - stopped);
            for (threadIdx.x = 0; threadIdx.x < FI_THREADS; threadIdx.x++) thread();
        }
    return missing;
}

template <typename Parameter> static Parameter &parameter(void *const *all, int n) {
    return *(Parameter *)all[n];
}

/* `parameters` as cuLaunchKernel takes them: the addresses of the kernel's arguments. */
#define LAUNCH_ROWS(kernel, dtype)                                                                 \
    extern "C" size_t launch_rows_##kernel##_##dtype(const unsigned *grid, void *const *all) {     \
        return launch(grid, [=] {                                                                  \
            rows_##kernel##_##dtype(parameter<unsigned char *>(all, 0),                            \
                                    parameter<fi_device_rows>(all, 1),                             \
                                    parameter<fi_spec>(all, 2));                                   \
        });                                                                                        \
    }
#define LAUNCH_SCATTERED(kernel, dtype)                                                            \
    extern "C" size_t launch_scattered_##kernel##_##dtype(const unsigned *grid,                    \
                                                          void *const *all) {                      \
        return launch(grid, [=] {                                                                  \
            scattered_##kernel##_##dtype(parameter<unsigned char *>(all, 0),                       \
                                         parameter<fi_device_axes>(all, 1),                        \
                                         parameter<fi_spec>(all, 2));                              \
        });                                                                                        \
    }
#define LAUNCH_JOBS(kernel, dtype)                                                                 \
    extern "C" size_t launch_jobs_##kernel##_##dtype(const unsigned *grid, void *const *all) {     \
        return launch(grid, [=] { jobs_##kernel##_##dtype(parameter<fi_device_jobs>(all, 0)); });  \
    }
#define LAUNCH(kernel, dtype)                                                                      \
    LAUNCH_ROWS(kernel, dtype) LAUNCH_SCATTERED(kernel, dtype) LAUNCH_JOBS(kernel, dtype)
FI_EACH_DEVICE_KERNEL(LAUNCH, DTYPE)

/* What Python has to pack: "structure.member offset size" of each. */
#define AT(type, member)                                                                           \
    {#type "." #member, offsetof(type, member), sizeof(((type *)nullptr)->member)}
struct member {
    const char *name;
    size_t offset, size;
};
extern "C" const member LAYOUT[] = {
    AT(fi_spec, key),
    AT(fi_spec, subsequence),
    AT(fi_spec, shift),
    AT(fi_spec, scale),
    AT(fi_spec, low),
    AT(fi_spec, high),
    AT(fi_spec, base),
    AT(fi_spec, slope),
    AT(fi_spec, sign_and),
    AT(fi_spec, sign_xor),
    AT(fi_spec, octave),
    AT(fi_spec, distribution),
    AT(fi_spec, pattern),
    {"fi_spec", 0, sizeof(fi_spec)},
    AT(fi_device_rows, start),
    AT(fi_device_rows, start_step),
    AT(fi_device_rows, count),
    AT(fi_device_rows, rows),
    AT(fi_device_rows, out_step),
    {"fi_device_rows", 0, sizeof(fi_device_rows)},
    AT(fi_device_axis, count),
    AT(fi_device_axis, magic),
    AT(fi_device_axis, shift),
    AT(fi_device_axis, reserved),
    AT(fi_device_axis, step),
    AT(fi_device_axis, stride),
    {"fi_device_axis", 0, sizeof(fi_device_axis)},
    AT(fi_device_axes, start),
    AT(fi_device_axes, total),
    AT(fi_device_axes, axes),
    AT(fi_device_axes, axis),
    {"fi_device_axes", 0, sizeof(fi_device_axes)},
    AT(fi_device_job, out),
    AT(fi_device_job, start),
    AT(fi_device_job, count),
    AT(fi_device_job, subsequence),
    AT(fi_device_job, first),
    AT(fi_device_job, reserved),
    {"fi_device_job", 0, sizeof(fi_device_job)},
    AT(fi_device_jobs, spec),
    AT(fi_device_jobs, count),
    AT(fi_device_jobs, blocks),
    AT(fi_device_jobs, reserved),
    AT(fi_device_jobs, job),
    {"fi_device_jobs", 0, sizeof(fi_device_jobs)},
    {nullptr, 0, 0},
};
