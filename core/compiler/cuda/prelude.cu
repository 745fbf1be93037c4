#ifndef NST_PRELUDE
#define NST_PRELUDE
// What generated kernels call beside CUDA's own mathematics.
#define NST_INFINITY __int_as_float(0x7f800000)
#define NST_NAN __int_as_float(0x7fc00000)

// An index that is counted from the end where it is negative; out of bounds it is taken modulo the length.
__device__ inline long long nst_wrap(long long i, long long length) {
    const long long rest = i % length;
    return rest < 0 ? rest + length : rest;
}

__device__ inline long long nst_floor_divide(long long a, long long b) {
    if (b == 0) return 0;
    if (b == -1) return (long long)(0ull - (unsigned long long)a);
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}
__device__ inline long long nst_remainder(long long a, long long b) {
    if (b == 0 || b == -1) return 0;
    const long long rest = a % b;
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}
__device__ inline float nst_remainder(float a, float b) {
    float rest = fmodf(a, b);
    if (rest == 0) return copysignf(rest, b);
    return (rest < 0) != (b < 0) ? rest + b : rest;
}
__device__ inline double nst_remainder(double a, double b) {
    double rest = fmod(a, b);
    if (rest == 0) return copysign(rest, b);
    return (rest < 0) != (b < 0) ? rest + b : rest;
}
// As NumPy: the quotient is rounded after the remainder was taken off, so that it fits it.
__device__ inline float nst_floor_divide(float a, float b) {
    if (b == 0 || a - a != 0 || b - b != 0) return a / b;
    const float quotient = (a - nst_remainder(a, b)) / b, down = floorf(quotient);
    return quotient == 0 ? copysignf(0.0f, a / b) : quotient - down > 0.5f ? down + 1 : down;
}
__device__ inline double nst_floor_divide(double a, double b) {
    if (b == 0 || a - a != 0 || b - b != 0) return a / b;
    const double quotient = (a - nst_remainder(a, b)) / b, down = floor(quotient);
    return quotient == 0 ? copysign(0.0, a / b) : quotient - down > 0.5 ? down + 1 : down;
}
__device__ inline float nst_logaddexp(float a, float b) {
    return a == b ? a + 0.693147180559945309f : (a > b ? a : b) + log1pf(expf(-fabsf(a - b)));
}
__device__ inline double nst_logaddexp(double a, double b) {
    return a == b ? a + 0.693147180559945309 : (a > b ? a : b) + log1p(exp(-fabs(a - b)));
}
template <typename T> __device__ inline T nst_power(T a, T b) {
    T result = 1;
    for (; b > 0; b >>= 1, a *= a)
        if (b & 1) result *= a;
    return result;
}
template <typename T> __device__ inline T nst_shift_left(T a, T b) {
    return b < (T)(8 * sizeof(T)) ? (T)((unsigned long long)a << b) : (T)0;
}
template <typename T> __device__ inline T nst_shift_right(T a, T b) {
    return b < (T)(8 * sizeof(T)) ? (T)(a >> b) : (T)(a < 0 ? -1 : 0);
}

struct NstSum { template <typename T> __device__ T operator()(T a, T b) const { return a + b; } };
struct NstProd { template <typename T> __device__ T operator()(T a, T b) const { return a * b; } };
struct NstMax { template <typename T> __device__ T operator()(T a, T b) const { return a > b || a != a ? a : b; } };
struct NstMin { template <typename T> __device__ T operator()(T a, T b) const { return a < b || a != a ? a : b; } };
struct NstAll { __device__ bool operator()(bool a, bool b) const { return a && b; } };
struct NstAny { __device__ bool operator()(bool a, bool b) const { return a || b; } };

// What LANES threads have, in a tree; neighbours in a row are STEP threads apart. All threads of the block take part.
template <typename Op, typename T, int LANES, int STEP, int THREADS>
__device__ T nst_reduce(T value, int t, int lane) {
    __shared__ T shared[THREADS];
    __syncthreads();
    shared[t] = value;
    __syncthreads();
    for (int half = LANES / 2; half > 0; half /= 2) {
        if (lane < half) shared[t] = Op()(shared[t], shared[t + half * STEP]);
        __syncthreads();
    }
    return shared[t - lane * STEP];
}
#endif
