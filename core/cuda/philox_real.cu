// Uniform and normal numbers of type T, float or double; follows philox.cu.

// In [0, 1): the upper 24 bits of each half word, lower half first, or the upper 53 bits of each word.
extern "C" __global__ void philox_uniform(unsigned long long key0, unsigned long long key1, T* out, long long n) {
    constexpr int lanes = sizeof(T) == 4 ? 8 : 4;
    FOR_EACH_BLOCK((n + lanes - 1) / lanes) {
        u64 words[4];
        philox(i, key0, key1, words);
        #pragma unroll
        for (int j = 0; j < lanes; ++j) {
            T number;
            if constexpr (lanes == 8) {
                number = (float)((u32)(words[j / 2] >> (32 * (j % 2))) >> 8) * 5.9604644775390625e-08f;
            } else {
                number = (double)(words[j] >> 11) * 1.1102230246251565404e-16;
            }
            if (lanes * i + j < n) out[lanes * i + j] = number;
        }
    }
}

// Standard normal, in pairs: a float pair from the lower (radius) and upper (angle) half of one word, a double pair
// from two words. Computed in double and rounded once.
extern "C" __global__ void philox_normal(unsigned long long key0, unsigned long long key1, T* out, long long n) {
    constexpr int pairs = sizeof(T) == 4 ? 4 : 2;
    FOR_EACH_BLOCK((n + 2 * pairs - 1) / (2 * pairs)) {
        u64 words[4];
        philox(i, key0, key1, words);
        #pragma unroll
        for (int j = 0; j < pairs; ++j) {
            double normals[2];
            if constexpr (pairs == 4) {
                const u64 low = words[j] & 0xFFFFFFFFull, high = words[j] >> 32;
                box_muller(
                    (double)(2 * low + 1) * 1.16415321826934814453e-10, (int)(high >> 30),
                    (double)(2 * (high & 0x3FFFFFFFull) + 1) * 4.65661287307739257812e-10, normals
                );
            } else {
                box_muller(
                    (double)(2 * (words[2 * j] >> 12) + 1) * 1.1102230246251565404e-16, (int)(words[2 * j + 1] >> 62),
                    (double)(2 * (words[2 * j + 1] >> 10 & 0x000FFFFFFFFFFFFFull) + 1) * 1.1102230246251565404e-16,
                    normals
                );
            }
            const long long place = 2 * (pairs * i + j);
            if (place < n) out[place] = (T)normals[0];
            if (place + 1 < n) out[place + 1] = (T)normals[1];
        }
    }
}
