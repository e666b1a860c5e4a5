/* A sweep of runtime/pairwise/lists.py for two values, in place: stretches of sites at a time, chains innermost.

   A site's threshold is looked up by its neighbours' values, (SITES, 2^DEGREE), so nothing is computed but words.

   inputs: numbers (SITES, CHAINS), keys (CHAINS, 2), step (1), starts (COLOURS + 1), lists (SITES, DEGREE),
   thresholds (SITES, 2^DEGREE) and 16 words more. outputs: numbers. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "threefry.h"

typedef uint32_t word;
#define STRETCH ((CHAINS) >= 64 ? 1 : 64 / (CHAINS))
#define LANES (STRETCH * (CHAINS))
#define CASES (1 << (DEGREE))

#ifdef __AVX512BW__
#include <immintrin.h>
#endif

static inline void visit(uint8_t *restrict numbers, ptrdiff_t site, const word *restrict words,
                         const int32_t *restrict lists, const word *restrict thresholds) {
  const word *mine = thresholds + site * CASES;
  const int32_t *near = lists + site * (DEGREE);
  uint8_t *here = numbers + site * (CHAINS);
  int c = 0;
#if defined __AVX512BW__ && defined __AVX512VL__ && DEGREE <= 4
  if ((CHAINS) >= 16) { /* a vector holds the table */
    __m512i table = _mm512_loadu_si512(mine); /* what lies beyond a small one is not looked up */
    for (; c + 16 <= (CHAINS); c += 16) {
      __m512i place = _mm512_setzero_si512();
      for (int d = 0; d < (DEGREE); d++) {
        __m128i values = _mm_loadu_si128((const __m128i *)(numbers + (ptrdiff_t)near[d] * (CHAINS) + c));
        place = _mm512_or_si512(place, _mm512_slli_epi32(_mm512_cvtepu8_epi32(values), d));
      }
      __m512i drawn = _mm512_loadu_si512(words + c);
      __mmask16 second = _mm512_cmpge_epu32_mask(drawn, _mm512_permutexvar_epi32(place, table));
      _mm_storeu_si128((__m128i *)(here + c), _mm_maskz_set1_epi8(second, 1));
    }
  }
#endif
  for (; c < (CHAINS); c++) {
    unsigned place = 0;
    for (int d = 0; d < (DEGREE); d++) place |= (unsigned)numbers[(ptrdiff_t)near[d] * (CHAINS) + c] << d;
    here[c] = words[c] >= mine[place];
  }
}

void run(void **inputs, void **outputs) {
  uint8_t *numbers = outputs[0];
  const word *keys = inputs[1], step = *(const word *)inputs[2], *thresholds = inputs[5];
  const int32_t *starts = inputs[3], *lists = inputs[4];
  word k0[LANES], k1[LANES], lane[LANES];
  if (numbers != inputs[0]) memcpy(numbers, inputs[0], (size_t)(SITES) * (CHAINS));
  for (int e = 0; e < LANES; e++)
    k0[e] = keys[2 * (e % (CHAINS))], k1[e] = keys[2 * (e % (CHAINS)) + 1], lane[e] = e / (CHAINS);
  for (int colour = 0; colour < (COLOURS); colour++) {
    ptrdiff_t start = starts[colour], stop = starts[colour + 1], half = (stop - start + 1) / 2;
    for (ptrdiff_t i = 0; i < half; i += STRETCH) {
      word first[LANES], second[LANES];
      for (int e = 0; e < LANES; e++) {
        word x = lane[e] + (word)(start + i), y = step;
        THREEFRY13(k0[e], k1[e], x, y);
        first[e] = x, second[e] = y;
      }
      for (int s = 0; s < STRETCH && i + s < half; s++) {
        ptrdiff_t site = start + i + s;
        visit(numbers, site, first + s * (CHAINS), lists, thresholds);
        if (site + half < stop) visit(numbers, site + half, second + s * (CHAINS), lists, thresholds);
      }
    }
  }
}
#include "xla.h"
