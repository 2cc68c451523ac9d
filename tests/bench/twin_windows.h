/* Rings of bin edges and baselines: guard/features/kernel/windows.py and baselines.py. */
#ifndef TWIN_WINDOWS_H
#define TWIN_WINDOWS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "slots.h"

enum { WEIGHT, TOTAL, ZEROS, SHIFT, MARK, PENDING };
enum {
    MEDIAN = BASELINE_ANSWERS, MEAN, SD, HIGH_QUANTILE, SEEN_WEIGHT,
};

static inline double lower(double a, double b) { return b < a ? b : a; }
static inline double higher(double a, double b) { return b > a ? b : a; }
static inline int64_t least(int64_t a, int64_t b) { return b < a ? b : a; }
static inline int64_t most(int64_t a, int64_t b) { return b > a ? b : a; }

static inline void copy(double *x, int64_t to, int64_t start, int64_t count) {
    memmove(x + to, x + start, (size_t)count * sizeof *x);
}

static inline void repeat(int64_t *i, int64_t to, int64_t count, int64_t value) {
    for (int64_t at = to; at < to + count; at++) i[at] = value;
}

static void keep(double *x, const int64_t *p, int64_t r, int64_t number) {
    for (int64_t g = p[r + R_GROUPS]; g < p[r + R_GROUPS_END]; g += GROUP_STRIDE) {
        const int64_t count = p[g + G_COUNT];
        memcpy(x + p[g] + number * count, x + p[g + G_FIRST], (size_t)count * sizeof *x);
    }
}

static void open_clock(double *x, int64_t *i, const int64_t *p, int64_t r, int64_t at) {
    const int64_t slot = p[r + R_SLOT], size = p[r + R_SIZE], now = at / p[r];
    i[slot] = now;
    i[slot + 1] = now % size;
    repeat(i, slot + CLOCK_HEAD, size, 0);
    keep(x, p, r, 0);
    for (int64_t g = p[r + R_GROUPS]; g < p[r + R_GROUPS_END]; g += GROUP_STRIDE) i[p[g + G_SINCE]] = at;
}

static void pass_silence(double *x, int64_t *i, const int64_t *p, int64_t r, int64_t at, int64_t number) {
    const int64_t size = p[r + R_SIZE], slot = p[r + R_SLOT], places = slot + CLOCK_HEAD, place = i[slot + 1];
    const int64_t now = at / p[r], silent = now - i[slot];
    const double price = x[PRICE];
    if (p[r + R_HAS_RANGE] && !(x[HIGH] == price && x[LOW] == price)) {
        x[HIGH] = price;
        x[LOW] = price;
        number = number + 1 < size ? number + 1 : 0;
        keep(x, p, r, number);
    }
    if (silent >= size) {
        repeat(i, places, size, number);
    } else {
        const int64_t run = least(silent, size - place);
        repeat(i, places + place, run, number);
        if (silent > run) repeat(i, places, silent - run, number);
    }
    i[slot] = now;
    i[slot + 1] = (place + silent) % size;
}

static void roll(double *x, int64_t *i, const int64_t *p, int64_t at) {
    const int64_t clocks = p[P_RINGS], end = clocks + p[P_RING_COUNT] * RING_STRIDE;
    const double price = x[PRICE];
    double above_high = NAN, above_low = NAN;
    for (int64_t r = clocks; r < end; r += RING_STRIDE) {
        const int64_t top = p[r + R_TOP];
        double high = x[top], low = x[top + 1];
        if (above_high == above_high) {
            if (!(high >= above_high)) x[top] = high = above_high;
            if (!(low <= above_low)) x[top + 1] = low = above_low;
        }
        const int64_t width = p[r], slot = p[r + R_SLOT], upcoming = i[slot] + 1;
        if (at < upcoming * width) break;
        if (upcoming == 0) {
            open_clock(x, i, p, r, at);
            continue;
        }
        const int64_t size = p[r + R_SIZE], places = slot + CLOCK_HEAD, place = i[slot + 1];
        int64_t number = i[places + (place > 0 ? place : size) - 1] + 1;
        if (number == size) number = 0;
        i[places + place] = number;
        x[HIGH] = high;
        x[LOW] = low;
        keep(x, p, r, number);
        i[slot] = upcoming;
        i[slot + 1] = place + 1 < size ? place + 1 : 0;
        if (at >= (upcoming + 1) * width) pass_silence(x, i, p, r, at, number);
        x[top] = price;
        x[top + 1] = price;
        above_high = high;
        above_low = low;
    }
    if (end > clocks) i[NEXT_EDGE] = (i[p[clocks + R_SLOT]] + 1) * p[clocks];
}

static void rebase(double *x, const int64_t *p) {
    const int64_t clocks = p[P_RINGS], end = clocks + p[P_RING_COUNT] * RING_STRIDE;
    for (int64_t r = clocks; r < end; r += RING_STRIDE) {
        const int64_t size = p[r + R_SIZE];
        for (int64_t g = p[r + R_GROUPS]; g < p[r + R_GROUPS_END]; g += GROUP_STRIDE) {
            const int64_t count = p[g + G_COUNT], first = p[g + G_FIRST];
            for (int64_t column = p[g + G_SUMS]; column < first + count; column++) {
                const double base = x[column];
                if (base == 0.0) continue;
                double *edge = x + p[g] + column - first;
                for (int64_t n = 0; n < size; n++) edge[n * count] -= base;
            }
        }
    }
    const double price = x[PRICE], mid = x[MID], high = x[HIGH], low = x[LOW];
    memset(x, 0, COLUMNS * sizeof *x);
    x[PRICE] = price;
    x[MID] = mid;
    x[HIGH] = high;
    x[LOW] = low;
}

/* Baselines. */

static void deviate(double *x, const double *middles, int64_t offset, int64_t end) {
    const double median = x[offset + MEDIAN], total = x[offset + TOTAL];
    double mean = 0.0, square = 0.0;
    for (int64_t place = offset + BASELINE_HEAD; place < end; place++) {
        const double share = x[place];
        if (share > 0.0) {
            const double value = log1p(middles[2 * (place - offset - BASELINE_HEAD)] / median), weighed = share * value;
            mean += weighed;
            square += weighed * value;
        }
    }
    mean /= total;
    x[offset + MEAN] = mean;
    x[offset + SD] = sqrt(higher(0.0, square / total - mean * mean));
}

static void refresh(double *x, const double *q, int64_t offset, int64_t table, int deviates) {
    const double weight = x[offset + WEIGHT], total = x[offset + TOTAL], seen = x[offset + SEEN_WEIGHT];
    x[offset + PENDING] = 0.0;
    x[offset + MEDIAN] = x[offset + MEAN] = x[offset + SD] = x[offset + HIGH_QUANTILE] = NAN;
    const int64_t start = offset + BASELINE_HEAD, bound = BUCKET_COUNT - 2 * BASELINE_BUCKETS - 1;
    const int64_t lowest = least(most(BUCKET_BASE + 2 * (int64_t)x[offset + SHIFT], 0), bound);
    const double *middles = q + table + lowest + 1;
    const double tail = higher((1.0 - 0.999) * total, 8.0 * weight), half = 0.5 * seen;
    double nearest = lower(tail, half), reached = 0.0, high = 0.0, median = NAN;
    int64_t end = start + BASELINE_BUCKETS;
    while (end > start && x[end - 1] == 0.0) end--;
    for (int64_t n = end - start - 1; n >= 0; n--) {
        reached += x[start + n];
        if (reached >= nearest) {
            if (reached >= tail && high == 0.0) high = middles[2 * n + 1];
            if (reached >= half && median != median) median = middles[2 * n];
            if (high > 0.0 && median > 0.0) break;
            nearest = higher(tail, half);
        }
    }
    if (total >= 80.0 * weight) x[offset + HIGH_QUANTILE] = high;
    if (median == median && seen >= 30.0 * weight) {
        x[offset + MEDIAN] = median;
        if (deviates) deviate(x, middles, offset, end);
    }
}

static int64_t make_room(double *x, int64_t offset, int64_t count) {
    if (count >= BASELINE_BUCKETS) return 0;
    const int64_t start = offset + BASELINE_HEAD, end = start + BASELINE_BUCKETS;
    double folded = 0.0;
    for (int64_t at = start; at < start + count; at++) folded += x[at];
    if (folded > 0.1 * x[offset + SEEN_WEIGHT]) return 0;
    x[start + count] += folded;
    copy(x, start, start + count, BASELINE_BUCKETS - count);
    for (int64_t at = end - count; at < end; at++) x[at] = 0.0;
    x[offset + SHIFT] += (double)count;
    return count;
}

static int64_t bucket_of(double *x, int64_t offset, int64_t number) {
    if (x[offset + SEEN_WEIGHT] == 0.0) x[offset + SHIFT] = (double)(number - BASELINE_BUCKETS / 2);
    int64_t place = number - (int64_t)x[offset + SHIFT];
    if (place >= BASELINE_BUCKETS) place -= make_room(x, offset, place - BASELINE_BUCKETS + 1);
    return least(most(place, 0), BASELINE_BUCKETS - 1);
}

static void observe(double *x, const double *q, const int64_t *baseline, double value, double count, double age) {
    const int64_t offset = baseline[B_OFFSET];
    const double per_octave = (double)baseline[B_PER_OCTAVE];
    double weight = x[offset + WEIGHT] * exp(lower(age, 20.0));
    if (weight > 1e12) {
        x[offset + TOTAL] /= weight;
        x[offset + ZEROS] /= weight;
        x[offset + SEEN_WEIGHT] /= weight;
        for (int64_t at = offset + BASELINE_HEAD; at < offset + BASELINE_SIZE; at++) x[at] /= weight;
        weight = 1.0;
    }
    if (count > 1.0 && age > 0.0) count *= (1.0 - exp(-age)) / age;
    x[offset + WEIGHT] = weight;
    x[offset + TOTAL] += weight * count;
    if (value > 0.0) {
        const double scaled = lower(log2(value) * per_octave, 1100.0 * per_octave);
        const int64_t bucket = bucket_of(x, offset, (int64_t)floor(scaled));
        x[offset + BASELINE_HEAD + bucket] += weight * count;
        x[offset + SEEN_WEIGHT] += weight * count;
    } else {
        x[offset + ZEROS] += weight * count;
    }
    x[offset + PENDING] += count;
    if (x[offset + PENDING] * weight >= 0.01 * x[offset + TOTAL]) {
        refresh(x, q, offset, baseline[B_TABLE], baseline[B_SOURCE] == TURNOVER || baseline[B_SOURCE] < 0);
    }
}

static void mark_bins(double *x, int64_t *i, const int64_t *p, int64_t at) {
    int64_t upcoming = NEVER;
    const int64_t *b = p + p[P_BASELINES], *end = b + p[P_BASELINE_COUNT] * BASELINE_STRIDE;
    for (; b < end; b += BASELINE_STRIDE) {
        if (b[B_SOURCE] < 0) continue;
        const int64_t number = at / b[B_BIN_US];
        i[b[B_SLOT]] = number;
        x[b[B_OFFSET] + MARK] = x[b[B_SOURCE]];
        upcoming = least(upcoming, (number + 1) * b[B_BIN_US]);
    }
    i[NEXT_CLOSE] = upcoming;
}

static void close_bins(double *x, int64_t *i, const int64_t *p, const double *q, int64_t at) {
    int64_t upcoming = NEVER;
    const int64_t *b = p + p[P_BASELINES], *end = b + p[P_BASELINE_COUNT] * BASELINE_STRIDE;
    for (; b < end; b += BASELINE_STRIDE) {
        const int64_t source = b[B_SOURCE], bin_us = b[B_BIN_US], slot = b[B_SLOT], offset = b[B_OFFSET];
        if (source < 0) continue;
        const int64_t opened = i[slot];
        int64_t finish = (opened + 1) * bin_us;
        if (at >= finish) {
            const int64_t now = at / bin_us, since = i[b[B_SINCE]];
            if (opened >= 0 && finish > since) {
                const double empty = (double)(now - opened - 1), decay = (double)b[B_DECAY_US];
                if (finish - bin_us >= since) observe(x, q, b, x[source] - x[offset + MARK], 1.0, (double)bin_us / decay);
                if (empty > 0.0) observe(x, q, b, 0.0, empty, empty * (double)bin_us / decay);
            }
            i[slot] = now;
            x[offset + MARK] = x[source];
            finish = (now + 1) * bin_us;
        }
        upcoming = least(upcoming, finish);
    }
    i[NEXT_CLOSE] = upcoming;
}

static void rebase_marks(double *x, const int64_t *p) {
    const int64_t *b = p + p[P_BASELINES], *end = b + p[P_BASELINE_COUNT] * BASELINE_STRIDE;
    for (; b < end; b += BASELINE_STRIDE)
        if (b[B_SOURCE] >= 0) x[b[B_OFFSET] + MARK] -= x[b[B_SOURCE]];
}

#endif
