/* A hand-written peer: heat bath of the two-dimensional Ising model on a torus, spins as bits, AVX-512.

   usage: ising_bits SIZE CHAINS THREADS SWEEPS BETA
   prints updates a second, the mean |magnetisation| and the energy a site of the last state.

   As good a generator as Compose's: Threefry2x32 with 13 rounds, a random number of 32 bits for each spin, its binary
   places as words, the comparison ended as soon as all 512 spins are decided. It knows that there is no field, so that
   a spin agrees with the majority of its neighbours with one of two probabilities, or is a coin.
   Row b SIZE/32 + r is bit b of row r's words; columns of one colour in a row of words. */
#include <immintrin.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EDGE 16
static int size, rows, columns, stride, chains, threads, sweeps;
static double beta;
static uint32_t *spins;
static uint32_t p4, p2;

#define ROL(y, r) _mm512_rol_epi32(y, r)
#define ROUND(r) x = _mm512_add_epi32(x, y), y = _mm512_xor_si512(ROL(y, r), x);
#define FOUR(a, b, c, d) ROUND(a) ROUND(b) ROUND(c) ROUND(d)
#define SET(v) _mm512_set1_epi32(v)
#define INJECT(a, b, i) x = _mm512_add_epi32(x, a), y = _mm512_add_epi32(y, _mm512_add_epi32(b, SET(i)));

static inline uint32_t *row(int chain, int colour, int r) {
  return spins + ((size_t)(chain * 2 + colour) * rows + r) * stride + EDGE;
}

static inline void edges(uint32_t *p) { p[-1] = p[columns - 1], p[columns] = p[0]; }

static void update(int chain, int colour, uint32_t step, uint32_t *above, uint32_t *beneath) {
  uint32_t *last = row(chain, 1 - colour, rows - 1), *first = row(chain, 1 - colour, 0);
  for (int q = 0; q < columns; q++) {
    above[q] = last[q] << 1 | last[q] >> 31;
    beneath[q] = first[q] >> 1 | first[q] << 31;
  }
  __m512i ones = SET(-1), k0 = SET(chain * 2 + 1), k1 = SET(0x9E3779B9), k2 = k0 ^ k1 ^ SET(0x1BD11BDA);
  __m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  uint32_t words = rows * columns;
  for (int r = 0; r < rows; r++) {
    const uint32_t *up = r ? row(chain, 1 - colour, r - 1) : above;
    const uint32_t *down = r + 1 < rows ? row(chain, 1 - colour, r + 1) : beneath;
    const uint32_t *same = row(chain, 1 - colour, r), *side = same + ((r ^ colour) & 1 ? 1 : -1);
    uint32_t *mine = row(chain, colour, r);
    for (int q = 0; q < columns; q += 16) {
      __m512i a = _mm512_loadu_si512(up + q), b = _mm512_loadu_si512(down + q);
      __m512i c = _mm512_loadu_si512(same + q), d = _mm512_loadu_si512(side + q);
      __m512i odd = a ^ b ^ c ^ d, ab = a & b, cd = c & d;
      __m512i all = (ab & cd) | ~(a | b | c | d);          /* all agree */
      __m512i most = (ab & (c | d)) | (cd & (a | b));      /* at least three are up */
      __m512i even = ~(odd | all);
      __m512i below = _mm512_setzero_si512(), open = ones;
      uint32_t counter = 32 * colour * words + (uint32_t)r * columns + q;
      for (int i = 15; i >= 0; i--) {
        __m512i x = _mm512_add_epi32(lanes, SET(counter + i * words)), y = SET(step);
        x = _mm512_add_epi32(x, k0), y = _mm512_add_epi32(y, k1);
        FOUR(13, 15, 26, 6) INJECT(k1, k2, 1) FOUR(17, 29, 16, 24) INJECT(k2, k0, 2)
        FOUR(13, 15, 26, 6) INJECT(k0, k1, 3) ROUND(17)
        for (int j = 1; j >= 0; j--) {
          int bit = 2 * i + j;
          __m512i u = j ? y : x;
          __m512i t = (all & SET(-(p4 >> bit & 1))) | (odd & SET(-(p2 >> bit & 1))) | (bit == 31 ? even : SET(0));
          below = below | (open & ~u & t);
          open = open & ~(u ^ t);
        }
        if (!_mm512_test_epi32_mask(open, open)) break;
      }
      _mm512_storeu_si512(mine + q, ~(below ^ most));
    }
    edges(mine);
  }
}

static void *work(void *which) {
  long thread = (long)which;
  uint32_t *above = aligned_alloc(64, sizeof(uint32_t) * stride), *beneath = aligned_alloc(64, sizeof(uint32_t) * stride);
  for (int chain = thread; chain < chains; chain += threads)
    for (int s = 0; s < sweeps; s++)
      for (int colour = 0; colour < 2; colour++) update(chain, colour, s, above, beneath);
  free(above), free(beneath);
  return NULL;
}

static int spin(int chain, int i, int j) {
  int r = i % rows;
  return row(chain, (i + j) & 1, r)[j / 2] >> (i / rows) & 1 ? 1 : -1;
}

int main(int argc, char **argv) {
  if (argc < 6) return 2;
  size = atoi(argv[1]), chains = atoi(argv[2]), threads = atoi(argv[3]), sweeps = atoi(argv[4]), beta = atof(argv[5]);
  rows = size / 32, columns = size / 2, stride = columns + 2 * EDGE;
  if (size % 64) return 2;
  p4 = (uint32_t)(4294967296.0 / (1.0 + exp(-8.0 * beta))), p2 = (uint32_t)(4294967296.0 / (1.0 + exp(-4.0 * beta)));
  size_t total = (size_t)chains * 2 * rows * stride;
  spins = aligned_alloc(64, (total * sizeof(uint32_t) + 63) / 64 * 64);
  srand(1);
  for (size_t i = 0; i < total; i++) spins[i] = rand() ^ (uint32_t)rand() << 16;
  for (int c = 0; c < 2 * chains; c++)
    for (int r = 0; r < rows; r++) edges(row(c / 2, c % 2, r));
  struct timespec a, b;
  clock_gettime(CLOCK_MONOTONIC, &a);
  pthread_t at_work[64];
  for (long t = 1; t < threads; t++) pthread_create(&at_work[t], NULL, work, (void *)t);
  work(0);
  for (int t = 1; t < threads; t++) pthread_join(at_work[t], NULL);
  clock_gettime(CLOCK_MONOTONIC, &b);
  double m = 0, e = 0, all = 0;
  for (int i = 0; i < size; i++)
    for (int j = 0; j < size; j++) {
      int s = spin(0, i, j);
      m += s, all += 1, e -= s * (spin(0, (i + 1) % size, j) + spin(0, i, (j + 1) % size));
    }
  double seconds = (b.tv_sec - a.tv_sec) + 1e-9 * (b.tv_nsec - a.tv_nsec);
  printf("%.6g %.5f %.5f\n", (double)size * size * chains * sweeps / seconds, fabs(m / all), e / all);
}
