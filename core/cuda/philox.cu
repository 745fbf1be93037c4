// Random numbers by Philox4x64-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): block i of four
// words is a function of the key and of i alone. core/philox.py holds the same arithmetic in array operations; every
// bit agrees, so nothing here may contract a * b + c into one rounding (--fmad=false).

typedef unsigned long long u64;
typedef unsigned int u32;

__device__ inline void philox(u64 counter, u64 key0, u64 key1, u64 words[4]) {
    u64 c0 = counter, c1 = 0, c2 = 0, c3 = 0;
    for (int round = 0; round < 10; ++round) {
        const u64 low0 = 0xD2E7470EE14C6C93ull * c0, high0 = __umul64hi(0xD2E7470EE14C6C93ull, c0);
        const u64 low1 = 0xCA5A826395121157ull * c2, high1 = __umul64hi(0xCA5A826395121157ull, c2);
        c0 = high1 ^ c1 ^ key0;
        c1 = low1;
        c2 = high0 ^ c3 ^ key1;
        c3 = low0;
        key0 += 0x9E3779B97F4A7C15ull;
        key1 += 0xBB67AE8584CAA73Bull;
    }
    words[0] = c0; words[1] = c1; words[2] = c2; words[3] = c3;
}

// Natural logarithm of a normal double in (0, 1), as fdlibm's e_log.c.
__device__ inline double log_of(double x) {
    const u64 shifted = (u64)__double_as_longlong(x) + (0x3FF0000000000000ull - 0x3FE6A09E667F3BCDull);
    const double k = (double)((long long)(shifted >> 52) - 1023);
    const u64 mantissa = (shifted & 0x000FFFFFFFFFFFFFull) + 0x3FE6A09E667F3BCDull;
    const double f = __longlong_as_double((long long)mantissa) - 1.0;
    const double s = f / (2.0 + f);
    const double z = s * s;
    double r = 1.479819860511658591e-01;
    r = r * z + 1.531383769920937332e-01;
    r = r * z + 1.818357216161805012e-01;
    r = r * z + 2.222219843214978396e-01;
    r = r * z + 2.857142874366239149e-01;
    r = r * z + 3.999999999940941908e-01;
    r = r * z + 6.666666666666735130e-01;
    r = r * z;
    const double half = 0.5 * f * f;
    return k * 6.93147180369123816490e-01 - ((half - (s * (half + r) + k * 1.90821492927058770002e-10)) - f);
}

// Two standard normal numbers (Box and Muller 1958) from u in (0, 1) and an angle: a quadrant and t in (0, 1).
__device__ inline void box_muller(double u, int quadrant, double t, double normals[2]) {
    const double radius = sqrt(-2.0 * log_of(u));
    const double x = (t - 0.5) * 1.57079632679489655800;
    const double z = x * x;
    double p = 1.58969099521155010221e-10;
    p = p * z + -2.50507602534068634195e-08;
    p = p * z + 2.75573137070700676789e-06;
    p = p * z + -1.98412698298579493134e-04;
    p = p * z + 8.33333333332248946124e-03;
    p = p * z + -1.66666666666666324348e-01;
    const double sine = radius * (p * z * x + x);
    double q = -1.13596475577881948265e-11;
    q = q * z + 2.08757232129817482790e-09;
    q = q * z + -2.75573143513906633035e-07;
    q = q * z + 2.48015872894767294178e-05;
    q = q * z + -1.38888888888741095749e-03;
    q = q * z + 4.16666666666666019037e-02;
    double cosine = radius * (q * z * z - 0.5 * z + 1.0);
    if (quadrant >= 2) cosine = -cosine;
    normals[0] = quadrant & 1 ? sine : cosine;
    normals[1] = quadrant & 1 ? cosine : sine;
}

// Each thread makes blocks of four words, 32 bytes of randomness.
#define FOR_EACH_BLOCK(blocks)                                                         \
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < (blocks); \
         i += (long long)gridDim.x * blockDim.x)

extern "C" __global__ void philox_bits(
    unsigned long long key0, unsigned long long key1, unsigned long long* out, long long n
) {
    FOR_EACH_BLOCK((n + 3) / 4) {
        u64 words[4];
        philox(i, key0, key1, words);
        #pragma unroll
        for (int j = 0; j < 4; ++j)
            if (4 * i + j < n) out[4 * i + j] = words[j];
    }
}
