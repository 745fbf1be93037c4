// Whether each lane of the words, of unsigned type T and lowest lane first, is below a threshold; follows philox.cu.
// The threshold may be one above what a lane can hold.

extern "C" __global__ void philox_below(
    unsigned long long key0, unsigned long long key1, unsigned long long threshold, bool* out, long long n
) {
    constexpr int bits = 8 * sizeof(T), per_word = 64 / bits, lanes = 4 * per_word;
    FOR_EACH_BLOCK((n + lanes - 1) / lanes) {
        u64 words[4];
        philox(i, key0, key1, words);
        #pragma unroll
        for (int j = 0; j < lanes; ++j)
            if (lanes * i + j < n) out[lanes * i + j] = (T)(words[j / per_word] >> (bits * (j % per_word))) < threshold;
    }
}
