/* Threefry2x32 with 13 rounds (Salmon, Moraes, Dror and Shaw 2011), over scalars or vectors of 32-bit words. */
#define TURN(y, r) ((y) << (r) | (y) >> (32 - (r)))
#define ROUND(r) x += y, y = TURN(y, r) ^ x;
#define FOUR(a, b, c, d) ROUND(a) ROUND(b) ROUND(c) ROUND(d)
#define INJECT(a, b, i) x += (a), y += (b) + (i);

/* Enciphers the counter (x, y) in place under the key (k0, k1). */
#define THREEFRY13(k0, k1, x, y)                                       \
  do {                                                                 \
    __typeof__(k0) k2 = (k0) ^ (k1) ^ 0x1BD11BDAu;                     \
    x += (k0), y += (k1);                                              \
    FOUR(13, 15, 26, 6) INJECT(k1, k2, 1) FOUR(17, 29, 16, 24) INJECT(k2, k0, 2) \
    FOUR(13, 15, 26, 6) INJECT(k0, k1, 3) ROUND(17)                    \
  } while (0)
