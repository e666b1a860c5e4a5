/* A sweep of runtime/pairwise/lists.py for two values, in place: stretches of sites at a time, chains innermost.

   inputs: numbers (SITES, CHAINS), keys (CHAINS, 2), step (1), starts (COLOURS + 1), lists (DEGREE, SITES),
   ratios (DEGREE, SITES), fields (SITES). outputs: numbers. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "threefry.h"

typedef uint32_t word;
#define STRETCH ((CHAINS) >= 64 ? 1 : 64 / (CHAINS))
#define LANES (STRETCH * (CHAINS))

static void visit(int8_t *numbers, ptrdiff_t site, const word *words, const int32_t *lists, const REAL *ratios,
                  const REAL *fields) {
  int8_t *mine = numbers + site * (CHAINS);
  REAL weight[CHAINS];
  for (int c = 0; c < (CHAINS); c++) weight[c] = fields[site];
  for (int d = 0; d < (DEGREE); d++) {
    const int8_t *near = numbers + (ptrdiff_t)lists[(ptrdiff_t)d * (SITES) + site] * (CHAINS);
    REAL ratio = ratios[(ptrdiff_t)d * (SITES) + site];
    for (int c = 0; c < (CHAINS); c++) weight[c] *= near[c] ? ratio : (REAL)1;
  }
  for (int c = 0; c < (CHAINS); c++) {
    REAL point = ((REAL)words[c] + (REAL)0.5) * (REAL)0x1p-32 * ((REAL)1 + weight[c]);
    mine[c] = point >= (REAL)1;
  }
}

void run(void **inputs, void **outputs) {
  int8_t *numbers = outputs[0];
  const word *keys = inputs[1], step = *(const word *)inputs[2];
  const int32_t *starts = inputs[3], *lists = inputs[4];
  const REAL *ratios = inputs[5], *fields = inputs[6];
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
        visit(numbers, site, first + s * (CHAINS), lists, ratios, fields);
        if (site + half < stop) visit(numbers, site + half, second + s * (CHAINS), lists, ratios, fields);
      }
    }
  }
}
#include "xla.h"
