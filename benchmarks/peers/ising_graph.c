/* A hand-written peer: heat bath of spins on a graph of degree 3 with real couplings, AVX-512.

   usage: ising_graph FILE CHAINS THREADS SWEEPS
   FILE, in binary: int32 sites, colours, then colours + 1 starts, then (sites, 3) neighbours, sites in the order of
   their colours, then (sites, 3) couplings as float32. prints updates a second, and the energy a spin of the last states.

   Chains lie side by side, 16 to a vector, and threads share them out. Weights are products of exp(2 J) in single
   precision, chosen without branches; one word of Threefry2x32 with 13 rounds a spin, both words of a cipher used. */
#include <immintrin.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int sites, colours, chains, threads, sweeps, lanes;
static int32_t *starts, *near;
static float *ratio, *field;
static uint8_t **states; /* of each thread, (sites, lanes) */

#define ROL(y, r) _mm512_rol_epi32(y, r)
#define ROUND(r) x = _mm512_add_epi32(x, y), y = _mm512_xor_si512(ROL(y, r), x);
#define FOUR(a, b, c, d) ROUND(a) ROUND(b) ROUND(c) ROUND(d)
#define SET(v) _mm512_set1_epi32(v)
#define INJECT(a, b, i) x = _mm512_add_epi32(x, a), y = _mm512_add_epi32(y, _mm512_add_epi32(b, SET(i)));
#define CIPHER(k0, k1, k2)                                                             \
  x = _mm512_add_epi32(x, k0), y = _mm512_add_epi32(y, k1);                            \
  FOUR(13, 15, 26, 6) INJECT(k1, k2, 1) FOUR(17, 29, 16, 24) INJECT(k2, k0, 2)         \
  FOUR(13, 15, 26, 6) INJECT(k0, k1, 3) ROUND(17)

static inline void visit16(uint8_t *s, int i, int c, __m512i word) {
  __m512 w = _mm512_set1_ps(field[i]), one = _mm512_set1_ps(1);
  for (int d = 0; d < 3; d++) {
    __m128i v = _mm_loadu_si128((const __m128i *)(s + (size_t)near[3 * i + d] * lanes + c));
    w = _mm512_mask_mul_ps(w, _mm_test_epi8_mask(v, v), w, _mm512_set1_ps(ratio[3 * i + d]));
  }
  __m512 u = _mm512_mul_ps(_mm512_add_ps(_mm512_cvtepu32_ps(word), _mm512_set1_ps(0.5f)), _mm512_set1_ps(0x1p-32f));
  __mmask16 second = _mm512_cmp_ps_mask(_mm512_mul_ps(u, _mm512_add_ps(one, w)), one, _CMP_GE_OQ);
  _mm_storeu_si128((__m128i *)(s + (size_t)i * lanes + c), _mm_maskz_set1_epi8(second, 1));
}

static inline void visit1(uint8_t *s, int i, uint32_t word) {
  float w = field[i];
  for (int d = 0; d < 3; d++) {
    float choice[2] = {1, ratio[3 * i + d]};
    w *= choice[s[near[3 * i + d]]];
  }
  s[i] = ((float)word + 0.5f) * 0x1p-32f * (1 + w) >= 1;
}

static void *work(void *which) {
  long thread = (long)which;
  uint8_t *s = states[thread];
  __m512i number = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  for (int t = 0; t < sweeps; t++)
    for (int k = 0; k < colours; k++) {
      int start = starts[k], stop = starts[k + 1], half = (stop - start + 1) / 2;
      if (lanes == 1) {
        __m512i k0 = SET(7), k1 = SET(11), k2 = k0 ^ k1 ^ SET(0x1BD11BDA);
        for (int i = 0; i < half; i += 16) {
          __m512i x = _mm512_add_epi32(number, SET(start + i)), y = SET(t);
          CIPHER(k0, k1, k2)
          uint32_t a[16], b[16];
          _mm512_storeu_si512(a, x), _mm512_storeu_si512(b, y);
          for (int l = 0; l < 16 && i + l < half; l++) {
            visit1(s, start + i + l, a[l]);
            if (start + i + l + half < stop) visit1(s, start + i + l + half, b[l]);
          }
        }
        continue;
      }
      for (int c = 0; c < lanes; c += 16) {
        __m512i k0 = _mm512_add_epi32(number, SET(thread * lanes + c)), k1 = SET(11), k2 = k0 ^ k1 ^ SET(0x1BD11BDA);
        for (int i = 0; i < half; i++) {
          __m512i x = SET(start + i), y = SET(t);
          CIPHER(k0, k1, k2)
          visit16(s, start + i, c, x);
          if (start + i + half < stop) visit16(s, start + i + half, c, y);
        }
      }
    }
  return NULL;
}

int main(int argc, char **argv) {
  if (argc < 5) return 2;
  FILE *file = fopen(argv[1], "rb");
  chains = atoi(argv[2]), threads = atoi(argv[3]), sweeps = atoi(argv[4]);
  lanes = chains / threads;
  if (!file || (lanes != 1 && lanes % 16)) return 2;
  if (fread(&sites, 4, 1, file) + fread(&colours, 4, 1, file) != 2) return 2;
  starts = malloc(4 * (colours + 1)), near = malloc(12 * (size_t)sites);
  ratio = malloc(12 * (size_t)sites), field = malloc(4 * (size_t)sites);
  size_t n = 3 * (size_t)sites;
  if (fread(starts, 4, colours + 1, file) != (size_t)colours + 1 || fread(near, 4, n, file) != n ||
      fread(ratio, 4, n, file) != n)
    return 2;
  for (int i = 0; i < sites; i++) {
    float sum = ratio[3 * i] + ratio[3 * i + 1] + ratio[3 * i + 2];
    field[i] = expf(-2 * sum);
    for (int d = 0; d < 3; d++) ratio[3 * i + d] = expf(4 * ratio[3 * i + d]);
  }
  states = malloc(sizeof *states * threads);
  srand(1);
  for (int t = 0; t < threads; t++) {
    states[t] = malloc((size_t)sites * lanes + 64);
    for (size_t i = 0; i < (size_t)sites * lanes; i++) states[t][i] = rand() >> 7 & 1;
  }
  struct timespec a, b;
  clock_gettime(CLOCK_MONOTONIC, &a);
  pthread_t at_work[64];
  for (long t = 1; t < threads; t++) pthread_create(&at_work[t], NULL, work, (void *)t);
  work(0);
  for (int t = 1; t < threads; t++) pthread_join(at_work[t], NULL);
  clock_gettime(CLOCK_MONOTONIC, &b);
  double e = 0; /* of the last state, every pair seen from both its ends */
  for (int t = 0; t < threads; t++)
    for (size_t i = 0; i < n; i++)
      for (int c = 0; c < lanes; c++) {
        int here = 2 * states[t][i / 3 * lanes + c] - 1, there = 2 * states[t][(size_t)near[i] * lanes + c] - 1;
        e -= 0.5 * 0.25 * log(ratio[i]) * here * there;
      }
  double seconds = (b.tv_sec - a.tv_sec) + 1e-9 * (b.tv_nsec - a.tv_nsec);
  printf("%.6g %.5f\n", (double)sites * chains * sweeps / seconds, e / ((double)sites * chains));
}
