/* Feeds TestU01's SmallCrush with random numbers in the forms in which Gibbs updates take them.

   build: gcc -O3 battery.c -I../../compose_lang/runtime/native -ltestu01 -lprobdist -lmylib -lm
   usage: battery words | sites | bits
   words: the first word of (site, step), as slices and thresholds take it, sites counted within a step;
   bits: both words of ((32 parity + i) words + word, step), in the order of the binary places from the highest;
   sites: the same, put together to the numbers of 32 bits that the sites of a word compare with their thresholds. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "bbattery.h"
#include "unif01.h"
#include "threefry.h"

#define WORDS 1024 /* of one parity: a lattice of 256 x 256 */
static const uint32_t K0 = 0x6B200159u, K1 = 0x99BA4EFEu; /* a chain's key: the cipher of (0, 0) with 20 rounds */

static unsigned int words(void) {
  static uint32_t site = 0, step = 0;
  uint32_t x = site, y = step;
  THREEFRY13(K0, K1, x, y);
  if (++site == 65536) site = 0, step++;
  return x;
}

static uint32_t places[32];

static void next(void) {
  static uint32_t word = 0, parity = 0, step = 0;
  for (uint32_t i = 0; i < 16; i++) {
    uint32_t x = (32 * parity + i) * WORDS + word, y = step;
    THREEFRY13(K0, K1, x, y);
    places[2 * i] = x, places[2 * i + 1] = y;
  }
  if (++word == WORDS) word = 0, parity ^= 1, step += !parity;
}

static unsigned int bits(void) {
  static int left = 0;
  if (!left) next(), left = 32;
  return places[--left];
}

static unsigned int sites(void) {
  static int bit = 32;
  if (bit == 32) next(), bit = 0;
  uint32_t number = 0;
  for (int j = 0; j < 32; j++) number |= (places[j] >> bit & 1) << j;
  bit++;
  return number;
}

int main(int argc, char **argv) {
  const char *form = argc > 1 ? argv[1] : "sites";
  unsigned int (*source)(void) = !strcmp(form, "words") ? words : !strcmp(form, "bits") ? bits : sites;
  unif01_Gen *generator = unif01_CreateExternGenBits((char *)form, source);
  bbattery_SmallCrush(generator);
  unif01_DeleteExternGenBits(generator);
}
