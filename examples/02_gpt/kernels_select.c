/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels.h"

const Kernels *kernels_select(void)
{
#ifdef KERNELS_X86_64
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        return &kernels_x86_64_v4;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("sse4.2"))
        return &kernels_x86_64_v3;
#endif
    return &kernels_baseline;
}
