/* SPDX-License-Identifier: MIT
 * Philox4x32-10: the words of a tile.  No floats here.
 *
 * Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.  A round is
 *     c0, c1, c2, c3  ->  hi(M1 c2) ^ c1 ^ k0,  lo(M1 c2),  hi(M0 c0) ^ c3 ^ k1,  lo(M0 c0)
 * and the key is bumped between rounds.
 *
 * Two things make it fast.  A word is kept in the low half of a 64-bit lane: the 64-bit product is
 * then the next c1 or c3 as it stands (nobody reads the junk above), and only the high half needs
 * a shift.  And in a tensor only c0 differs from block to block (c1 changes once in 2^32 blocks,
 * which no call crosses), so half of the first two rounds is the same for all blocks and is done
 * once a call.  Several groups of blocks go through each round together, which hides the
 * multiplier's latency. */
#define PHILOX_M0 0xD2511F53u
#define PHILOX_M1 0xCD9E8D57u
#define PHILOX_W0 0x9E3779B9u /* golden ratio - 1, in 32 bits */
#define PHILOX_W1 0xBB67AE85u /* sqrt(3) - 1 */
enum { PHILOX_ROUNDS = 10 };

typedef struct philox {
    vplane key0[PHILOX_ROUNDS], key1[PHILOX_ROUNDS]; /* of each round, after its first two */
    vplane first;                                    /* round 0: c3 ^ k1 */
    vplane second0, second2, second3; /* round 1: c1 ^ k0; hi(M0 c0) ^ k1; lo(M0 c0) */
} philox;

/* `high` is counter word 1: the high half of every block number to come. */
FI_INLINE philox philox_start(uint64_t key, uint64_t subsequence, uint32_t high) {
    philox p;
    uint32_t key0 = (uint32_t)key, key1 = (uint32_t)(key >> 32);
    uint64_t product = (uint64_t)PHILOX_M1 * (uint32_t)subsequence;
    uint32_t c0 = (uint32_t)(product >> 32) ^ high ^ key0, c1 = (uint32_t)product;
    p.first = plane_set((uint32_t)(subsequence >> 32) ^ key1);
    product = (uint64_t)PHILOX_M0 * c0;
    p.second0 = plane_set(c1 ^ (key0 + PHILOX_W0));
    p.second2 = plane_set((uint32_t)(product >> 32) ^ (key1 + PHILOX_W1));
    p.second3 = plane_set((uint32_t)product);
    for (uint32_t round = 2; round < PHILOX_ROUNDS; round++) {
        p.key0[round] = plane_set(key0 + round * PHILOX_W0);
        p.key1[round] = plane_set(key1 + round * PHILOX_W1);
    }
    /* Round 2 meets c3 = second3, the same for all blocks: fold it into the key. */
    p.key1[2] = plane_xor(p.key1[2], p.second3);
    return p;
}

/* The words of V_GROUPS * V_BLOCKS blocks, in order: from block `low` on, or of the blocks that are
 * `listed`, if there is a list.  `low` and the list hold the lower halves of block numbers; the
 * upper half, `high`, is the same for all. */
FI_INLINE void philox_words(const philox *p, uint32_t low, const uint32_t *listed,
                            vu32 out[V_GROUPS * V_VECTORS]) {
    const vplane m0 = plane_set(PHILOX_M0), m1 = plane_set(PHILOX_M1);
    vplane x[V_GROUPS][4];
    FI_UNROLL
    for (int g = 0; g < V_GROUPS; g++) { /* round 0 */
        vplane c0 = listed ? plane_load(listed + g * V_BLOCKS)
                           : plane_counter(low + (uint32_t)(g * V_BLOCKS));
        vplane product = plane_multiply(c0, m0);
        x[g][2] = plane_xor(plane_high(product), p->first);
        x[g][3] = product;
    }
    FI_UNROLL
    for (int g = 0; g < V_GROUPS; g++) { /* round 1 */
        vplane product = plane_multiply(x[g][2], m1);
        x[g][0] = plane_xor(plane_high(product), p->second0);
        x[g][1] = product;
        x[g][2] = plane_xor(x[g][3], p->second2);
    }
    FI_UNROLL
    for (int g = 0; g < V_GROUPS; g++) { /* round 2 */
        vplane product0 = plane_multiply(x[g][0], m0), product1 = plane_multiply(x[g][2], m1);
        x[g][0] = plane_xor3(plane_high(product1), x[g][1], p->key0[2]);
        x[g][1] = product1;
        x[g][2] = plane_xor(plane_high(product0), p->key1[2]);
        x[g][3] = product0;
    }
    FI_UNROLL
    for (int round = 3; round < PHILOX_ROUNDS; round++) {
        FI_UNROLL
        for (int g = 0; g < V_GROUPS; g++) {
            vplane product0 = plane_multiply(x[g][0], m0), product1 = plane_multiply(x[g][2], m1);
            x[g][0] = plane_xor3(plane_high(product1), x[g][1], p->key0[round]);
            x[g][1] = product1;
            x[g][2] = plane_xor3(plane_high(product0), x[g][3], p->key1[round]);
            x[g][3] = product0;
        }
    }
    FI_UNROLL
    for (int g = 0; g < V_GROUPS; g++) plane_weave(x[g], out + g * V_VECTORS);
}
