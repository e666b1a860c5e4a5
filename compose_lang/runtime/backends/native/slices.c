/* A sweep of runtime/pairwise/slices.py for two values: 16 sites of a row at a time, rows outermost, so that a row's
   ratios are read once for all chains.

   Products of ratios are taken in single precision; where that leaves a site undecided they are taken again as the array
   operations take them, in REAL.

   inputs: the numbers of both parities (chains, ROWS, MIDDLE, COLUMNS), keys (chains, 2), the step and the number of
   chains (2), then for each parity the bits of the ratios in single precision, (1 + DIRECTIONS, SITES) and 16 more, and
   for each parity the ratios in REAL: first the field's, then each direction's. outputs: the numbers of both. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "threefry.h"

#define LANES 16
typedef uint32_t word;
typedef word vec __attribute__((vector_size(64)));
typedef word loose __attribute__((vector_size(64), aligned(4), may_alias));
typedef float reals __attribute__((vector_size(64)));
typedef uint8_t bytes __attribute__((vector_size(16)));
typedef uint8_t loose_bytes __attribute__((vector_size(16), aligned(1), may_alias));
#define SITES ((size_t)(ROWS) * (MIDDLE) * (COLUMNS))
/* the array of the other parity with margins, and room for a last vector */
#define WIDE ((COLUMNS) + 2 * (MARGIN_COLUMNS))
#define DEEP ((MIDDLE) + 2 * (MARGIN_MIDDLE))
#define TALL ((ROWS) + 2 * (MARGIN_ROWS))
#define PADDED ((size_t)TALL * DEEP * WIDE + LANES)
#define AT(r, m, q) (((ptrdiff_t)(r) * DEEP + (m)) * WIDE + (q))
#define AROUND(i, n) ((((i) % (n)) + (n)) % (n))
/* by how much a point in single precision may be off: of each of its factors two roundings, and some to spare */
#define DOUBT (1.2e-7f * (2 * (DIRECTIONS) + 8))

static inline vec load(const word *p) { return *(const loose *)p; }

/* times(w, p, ratios): w times the ratio of each of 16 neighbours that has its second value.
   decided(point, found, doubtful): which of 16 points are 1 or more, as bytes, and which may be off it: a bit each. */
#if defined __AVX512BW__ && defined __AVX512VL__
#include <immintrin.h>
static inline reals times(reals w, const uint8_t *p, const word *ratios) {
  __m128i numbers = _mm_loadu_si128((const __m128i *)p);
  return (reals)_mm512_mask_mul_ps((__m512)w, _mm_test_epi8_mask(numbers, numbers), (__m512)w, _mm512_loadu_ps(ratios));
}
static inline reals real(vec x) { return (reals)_mm512_cvtepu32_ps((__m512i)x); }
static inline unsigned decided(reals point, bytes *found) {
  __m512 one = _mm512_set1_ps(1.0f), off = _mm512_abs_ps(_mm512_sub_ps((__m512)point, one));
  *found = (bytes)_mm_maskz_set1_epi8(_mm512_cmp_ps_mask((__m512)point, one, _CMP_GE_OQ), 1);
  return _mm512_cmp_ps_mask(off, _mm512_set1_ps(DOUBT), _CMP_LT_OQ);
}
#else
static inline reals times(reals w, const uint8_t *p, const word *ratios) {
  vec has = -__builtin_convertvector((bytes)*(const loose_bytes *)p, vec);
  return w * (reals)((load(ratios) & has) | (0x3F800000u & ~has));
}
static inline reals real(vec x) { return __builtin_convertvector(x, reals); }
static inline unsigned decided(reals point, bytes *found) {
  unsigned doubtful = 0;
  for (int i = 0; i < LANES; i++) {
    (*found)[i] = point[i] >= 1.0f;
    doubtful |= (unsigned)(point[i] < 1.0f + DOUBT && point[i] > 1.0f - DOUBT) << i;
  }
  return doubtful;
}
#endif

/* weigh(p, ratios, place, high) in single precision for 16 sites, exactly(...) in REAL for one: the weight of the second
   value beside the first. p: the same place in the array of the other parity; high: whether rows begin with a site of
   the other parity. */
#include "generated.h"

static void pad(const uint8_t *from, uint8_t *to) {
  for (int r = -(MARGIN_ROWS); r < (ROWS) + (MARGIN_ROWS); r++)
    for (int m = -(MARGIN_MIDDLE); m < (MIDDLE) + (MARGIN_MIDDLE); m++) {
      uint8_t *out = to + AT(r + (MARGIN_ROWS), m + (MARGIN_MIDDLE), MARGIN_COLUMNS);
      memcpy(out, from + ((size_t)AROUND(r, ROWS) * (MIDDLE) + AROUND(m, MIDDLE)) * (COLUMNS), COLUMNS);
      for (int q = 1; q <= (MARGIN_COLUMNS); q++) {
        out[-q] = out[AROUND(-q, COLUMNS)];
        out[(COLUMNS) + q - 1] = out[AROUND(q - 1, COLUMNS)];
      }
    }
}

static void row(const uint8_t *around, uint8_t *mine, size_t place, int parity, int high, const word *key, word step,
                const word *ratios, const REAL *exact) {
  vec lane, k0, k1;
  for (int i = 0; i < LANES; i++) lane[i] = i, k0[i] = key[0], k1[i] = key[1];
  for (int q = 0; q < (COLUMNS); q += LANES) {
    int count = (COLUMNS) % LANES == 0 || (COLUMNS)-q > LANES ? LANES : (COLUMNS)-q;
    vec x = lane + (word)(parity * SITES + place + q), y = (vec){0} + step;
    THREEFRY13(k0, k1, x, y);
    bytes found;
    unsigned doubtful = decided((real(x) + 0.5f) * 0x1p-32f * (1.0f + weigh(around + q, ratios, place + q, high)), &found);
    for (int i = 0; __builtin_expect(doubtful != 0, 0) && i < count; i++, doubtful >>= 1)
      if (doubtful & 1) {
        REAL weight = exactly(around + q + i, exact, place + q + i, high);
        found[i] = ((REAL)x[i] + (REAL)0.5) * (REAL)0x1p-32 * (1 + weight) >= 1;
      }
    if (count == LANES) *(loose_bytes *)(mine + q) = found;
    else memcpy(mine + q, &found, count);
  }
}

static void update(const uint8_t *padded, uint8_t *mine, int parity, const word *keys, word step, word chains,
                   const word *ratios, const REAL *exact) {
  for (int r = 0; r < (ROWS); r++)
    for (int m = 0; m < (MIDDLE); m++)
      for (word c = 0; c < chains; c++) {
        size_t place = ((size_t)r * (MIDDLE) + m) * (COLUMNS);
        const uint8_t *around = padded + c * PADDED + AT(r + (MARGIN_ROWS), m + (MARGIN_MIDDLE), MARGIN_COLUMNS);
        row(around, mine + c * SITES + place, place, parity, ((r + m) & 1) ^ parity, keys + 2 * c, step, ratios, exact);
      }
}

void run(void **inputs, void **outputs) {
  const word *keys = inputs[2], step = ((word *)inputs[3])[0], chains = ((word *)inputs[3])[1];
  uint8_t *padded = malloc(PADDED * chains), *first = outputs[0], *second = outputs[1];
  for (word c = 0; c < chains; c++) pad((const uint8_t *)inputs[1] + c * SITES, padded + c * PADDED);
  update(padded, first, 0, keys, step, chains, inputs[4], inputs[6]);
  for (word c = 0; c < chains; c++) pad(first + c * SITES, padded + c * PADDED);
  update(padded, second, 1, keys, step, chains, inputs[5], inputs[7]);
  free(padded);
}
#include "xla.h"
