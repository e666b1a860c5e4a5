/* A sweep of runtime/pairwise/bits.py: 16 words at a time, as many binary places as their sites need.

   The comparison runs from the highest place down and ends when no site of the 16 words is undecided, after 11 places
   on the average; places that are left out would change nothing.

   inputs: the words of both parities (chains, ROWS, MIDDLE, COLUMNS), keys (chains, 2), the step and the number of
   chains (2), the bits of the thresholds (32, LEVELS), then the masks that generated.h reads, for each parity. outputs: the words of both. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "threefry.h"

typedef uint32_t word;
typedef word vec __attribute__((vector_size(64)));
typedef word loose __attribute__((vector_size(64), aligned(4), may_alias));
#define LANES 16
#define WORDS ((size_t)(ROWS) * (MIDDLE) * (COLUMNS))
/* the array of the other parity with margins, and room for a last vector */
#define WIDE ((COLUMNS) + 2 * (MARGIN_COLUMNS))
#define DEEP ((MIDDLE) + 2 * (MARGIN_MIDDLE))
#define TALL ((ROWS) + 2 * (MARGIN_ROWS))
#define AT(r, m, q) (((ptrdiff_t)(r) * DEEP + (m)) * WIDE + (q))

static inline vec load(const word *p) { return *(const loose *)p; }

#ifdef __AVX512F__
#include <immintrin.h>
static inline int any(vec x) { return _mm512_test_epi32_mask((__m512i)x, (__m512i)x) != 0; }
#else
static inline int any(vec x) {
  word found = 0;
  for (int i = 0; i < LANES; i++) found |= x[i];
  return found != 0;
}
#endif

/* masks(p, m, high, mask): for each level the sites of 16 words that have its threshold. p: the word at the same place
   in the array of the other parity; m: the same place in each array of masks; high: whether rows begin with a site of
   the other parity. */
#include "generated.h"

static void pad(const word *from, word *to) {
  for (int r = -(MARGIN_ROWS); r < (ROWS) + (MARGIN_ROWS); r++)
    for (int m = -(MARGIN_MIDDLE); m < (MIDDLE) + (MARGIN_MIDDLE); m++) {
      const word *row = from + ((size_t)((r + ROWS) % ROWS) * (MIDDLE) + (m + (MIDDLE) * 64) % (MIDDLE)) * (COLUMNS);
      word *out = to + AT(r + (MARGIN_ROWS), m + (MARGIN_MIDDLE), MARGIN_COLUMNS);
      if (r >= 0 && r < (ROWS)) memcpy(out, row, sizeof(word) * (COLUMNS));
      else
        for (int q = 0; q < (COLUMNS); q++) out[q] = r < 0 ? TURN(row[q], 1) : TURN(row[q], 31);
      for (int q = 1; q <= (MARGIN_COLUMNS); q++) {
        out[-q] = out[((COLUMNS) * 64 - q) % (COLUMNS)];
        out[(COLUMNS) + q - 1] = out[(q - 1) % (COLUMNS)];
      }
    }
}

static void update(const word *padded, word *mine, int parity, const word *key, word step, const word *bits,
                   const word *const *tables) {
  vec lane, k0, k1;
  for (int i = 0; i < LANES; i++) lane[i] = i, k0[i] = key[0], k1[i] = key[1];
  for (int r = 0; r < (ROWS); r++)
    for (int m = 0; m < (MIDDLE); m++)
      for (int q = 0; q < (COLUMNS); q += LANES) {
        size_t place = ((size_t)r * (MIDDLE) + m) * (COLUMNS) + q;
        int count = (COLUMNS) % LANES == 0 || (COLUMNS)-q > LANES ? LANES : (COLUMNS)-q;
        vec mask[LEVELS];
        masks(padded + AT(r + (MARGIN_ROWS), m + (MARGIN_MIDDLE), q + (MARGIN_COLUMNS)), tables, place,
              ((r + m) & 1) ^ parity, mask);
        vec below = {0}, undecided = ~(vec){0};
        for (int i = count; i < LANES; i++) undecided[i] = 0;
        for (int i = 15; i >= 0; i--) {
          vec x = lane + (word)((32 * parity + i) * WORDS + place), y = (vec){0} + step;
          THREEFRY13(k0, k1, x, y);
          for (int j = 1; j >= 0; j--) {
            const word *bit = bits + (2 * i + j) * (LEVELS);
            vec threshold = mask[0] & bit[0], u = j ? y : x;
#pragma GCC unroll 64
            for (int l = 1; l < (LEVELS); l++) threshold |= mask[l] & bit[l];
            below |= undecided & ~u & threshold;
            undecided &= ~(u ^ threshold);
          }
          if (!any(undecided)) break;
        }
        vec found = ~below;
        if (count == LANES) *(loose *)(mine + place) = found;
        else memcpy(mine + place, &found, sizeof(word) * count);
      }
}

void run(void **inputs, void **outputs) {
  const word *keys = inputs[2], *bits = inputs[4], step = ((word *)inputs[3])[0], chains = ((word *)inputs[3])[1];
  const word *const *tables = (const word *const *)inputs + 5;
  word *padded = malloc(sizeof(word) * ((size_t)TALL * DEEP * WIDE + 2 * LANES));
  for (size_t c = 0; c < chains; c++) {
    word *first = (word *)outputs[0] + c * WORDS, *second = (word *)outputs[1] + c * WORDS;
    pad((const word *)inputs[1] + c * WORDS, padded);
    update(padded, first, 0, keys + 2 * c, step, bits, tables);
    pad(first, padded);
    update(padded, second, 1, keys + 2 * c, step, bits, tables + TABLES);
  }
  free(padded);
}
#include "xla.h"
