/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels.h"

int kernels_best(void)
{
#ifdef KERNELS_X86_64
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        return KERNELS_X86_64_V4;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("sse4.2"))
        return KERNELS_X86_64_V3;
#endif
    return KERNELS_BASELINE;
}

const Kernels *kernels_get(int level)
{
    switch (level) {
#ifdef KERNELS_X86_64
    case KERNELS_X86_64_V4:
        return &kernels_x86_64_v4;
    case KERNELS_X86_64_V3:
        return &kernels_x86_64_v3;
#endif
    default:
        return &kernels_baseline;
    }
}

const Kernels *kernels_select(void)
{
    return kernels_get(kernels_best());
}
