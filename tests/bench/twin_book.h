/* The order book and what is removed from it: guard/features/kernel/book.py and removals.py. */
#ifndef TWIN_BOOK_H
#define TWIN_BOOK_H

#include "twin_windows.h"

enum { SIDE = BOOK_CAP * BOOK_PARTS, SIZE = BOOK_CAP, FRESH = 2 * BOOK_CAP, SINCE = 3 * BOOK_CAP, OLDER = 4 * BOOK_CAP, OLDER_SINCE = 5 * BOOK_CAP };

static inline int64_t find(const double *x, double key, int64_t low, int64_t high) {
    while (high - 8 >= low && x[high - 8] >= key) high -= 8;
    while (high > low && x[high - 1] >= key) high--;
    return high;
}

static void insert_level(double *x, int64_t *i, int64_t side, int64_t start, int64_t place, double key, double size,
                         double fresh, int64_t at) {
    const int64_t count = i[side];
    if (count < BOOK_CAP) {
        i[side] = count + 1;
        const int64_t moving = start + count - place;
        if (moving > 0)
            for (int64_t part = place; part < place + SIDE; part += BOOK_CAP) copy(x, part + 1, part, moving);
    } else {
        place--;
        const int64_t moving = place - start;
        if (moving > 0)
            for (int64_t part = start; part < start + SIDE; part += BOOK_CAP) copy(x, part, part + 1, moving);
    }
    x[place] = key;
    x[place + SIZE] = size;
    x[place + FRESH] = fresh;
    x[place + SINCE] = (double)at;
    x[place + OLDER] = 0.0;
}

static double take_fresh(double *x, int64_t place, double gone, double at) {
    const double newer = at - x[place + SINCE] <= 30e6 ? x[place + FRESH] : 0.0;
    const double older = at - x[place + OLDER_SINCE] <= 30e6 ? x[place + OLDER] : 0.0;
    if (gone < newer) {
        x[place + FRESH] = newer - gone;
        x[place + OLDER] = older;
        return gone;
    }
    x[place + FRESH] = 0.0;
    if (gone - newer < older) {
        x[place + OLDER] = older - (gone - newer);
        return gone;
    }
    x[place + OLDER] = 0.0;
    return newer + older;
}

static double resize_level(double *x, int64_t place, double size, double at) {
    const double change = size - x[place + SIZE];
    x[place + SIZE] = size;
    if (change <= 0.0) return take_fresh(x, place, -change, at);
    const double fresh = x[place + FRESH];
    if (fresh > 0.0 && at - x[place + SINCE] <= 15e6) {
        x[place + FRESH] = fresh + change;
        return 0.0;
    }
    if (fresh > 0.0) {
        x[place + OLDER] = fresh;
        x[place + OLDER_SINCE] = x[place + SINCE];
    }
    x[place + FRESH] = change;
    x[place + SINCE] = at;
    return 0.0;
}

static double remove_level(double *x, int64_t *i, int64_t side, int64_t place, int64_t end, double size, double at) {
    const double taken = take_fresh(x, place, x[place + SIZE] - size, at);
    i[side]--;
    const int64_t moving = end - place - 1;
    if (moving > 0)
        for (int64_t part = place; part < place + SIDE; part += BOOK_CAP) copy(x, part, part + 1, moving);
    return taken;
}

static double set_level(double *x, int64_t *i, int64_t book, int64_t at, double price, double size, int64_t side, int is_full) {
    const int64_t count_slot = side > 0 ? BIDS : ASKS, start = side > 0 ? book : book + SIDE;
    const double key = side > 0 ? price : -price;
    const int64_t count = i[count_slot], end = start + count, place = find(x, key, start, end);
    if (place == end || x[place] != key) {
        if (size > 0.0 && (count < BOOK_CAP || place > start)) {
            i[NEWEST_SIDE] = side;
            if (place == end) i[BEST_MOVED] = 1;
            insert_level(x, i, count_slot, start, place, key, size, is_full ? 0.0 : size, at);
        }
        return 0.0;
    }
    i[NEWEST_SIDE] = side;
    if (size > 0.0) return resize_level(x, place, size, (double)at);
    if (place == end - 1) i[BEST_MOVED] = 1;
    return remove_level(x, i, count_slot, place, end, size, (double)at);
}

static int64_t drop_crossed(const double *x, int64_t *i, int64_t book) {
    const int is_bid = i[NEWEST_SIDE] >= 0;
    const int64_t count_slot = is_bid ? BIDS : ASKS, other_slot = is_bid ? ASKS : BIDS;
    const int64_t start = is_bid ? book : book + SIDE, other = is_bid ? book + SIDE : book;
    if (i[count_slot] == 0) return 0;
    const double limit = -x[start + i[count_slot] - 1];
    const int64_t count = i[other_slot];
    int64_t left = count;
    while (left > 0 && x[other + left - 1] >= limit) left--;
    i[other_slot] = left;
    return count - left;
}

static void settle(double *x, int64_t *i, int64_t book) {
    if (i[BIDS] > 0 && i[ASKS] > 0) {
        const double bid = x[book + i[BIDS] - 1], ask = -x[book + SIDE + i[ASKS] - 1];
        if (bid < ask) {
            i[CROSSED] = 0;
            x[BID] = bid;
            x[ASK] = ask;
            x[MID] = 0.5 * (bid + ask);
            return;
        }
    }
    const int64_t crossed = drop_crossed(x, i, book);
    x[BID] = i[BIDS] > 0 ? x[book + i[BIDS] - 1] : NAN;
    x[ASK] = i[ASKS] > 0 ? -x[book + SIDE + i[ASKS] - 1] : NAN;
    x[MID] = NAN;
    i[CROSSED] = 0;
    if (crossed > 0) {
        i[CROSSED] = 1;
        x[CROSSINGS] += 1.0;
    }
}

/* Removals that wait for trades, and trades that wait for removals. */

static void remove_unfilled(double *x, int64_t *i, int64_t pending, int64_t fills, double price, double amount, int64_t side) {
    const double mid = x[MID];
    if (amount <= 0.0 || !(fabs(price - mid) <= 0.0025 * mid)) return;
    const double at = (double)i[AT], hit = (double)side;
    double left = amount;
    for (double *e = x + fills; e < x + fills + FILLS_CAP * FILLS_PARTS; e += FILLS_PARTS) {
        if (e[1] == price && (e[2] == hit || e[2] == 0.0) && at - e[0] <= 1e6 && e[3] > 0.0) {
            const double met = lower(left, e[3]);
            e[3] -= met;
            left -= met;
        }
    }
    if (i[PENDING_COUNT] == PENDING_CAP) {
        i[OVERFLOW]++;
        i[PENDING_HEAD] = (i[PENDING_HEAD] + 1) % PENDING_CAP;
        i[PENDING_COUNT]--;
    }
    double *e = x + pending + ((i[PENDING_HEAD] + i[PENDING_COUNT]) % PENDING_CAP) * PENDING_PARTS;
    e[0] = at;
    e[1] = price;
    e[2] = hit;
    e[3] = amount;
    e[4] = left;
    i[PENDING_COUNT]++;
}

static void fill(double *x, int64_t *i, int64_t pending, int64_t fills, double price, double amount, int64_t side) {
    const double hit = (double)-side, at = (double)i[AT];
    double left = amount;
    int64_t head = i[PENDING_HEAD];
    for (int64_t number = head; number < head + i[PENDING_COUNT]; number++) {
        double *e = x + pending + (number % PENDING_CAP) * PENDING_PARTS;
        if (e[1] == price && (e[2] == hit || hit == 0.0)) {
            const double met = lower(left, e[4]);
            e[4] -= met;
            left -= met;
        }
    }
    if (left <= 0.0) return;
    head = i[FILLS_HEAD];
    double *e = x + fills + ((head + FILLS_CAP - 1) % FILLS_CAP) * FILLS_PARTS;
    if (e[0] == at && e[1] == price && e[2] == hit) {
        e[3] += left;
        return;
    }
    e = x + fills + head * FILLS_PARTS;
    if (e[3] > 0.0 && at - e[0] <= 1e6) i[OVERFLOW]++;
    i[FILLS_HEAD] = (head + 1) % FILLS_CAP;
    e[0] = at;
    e[1] = price;
    e[2] = hit;
    e[3] = left;
}

static void classify(double *x, int64_t *i, int64_t pending) {
    while (i[PENDING_COUNT] > 0) {
        const double *e = x + pending + i[PENDING_HEAD] * PENDING_PARTS;
        if ((double)i[TRADE_AT] < e[0] + 300e3 && (double)i[AT] < e[0] + 1e6) return;
        i[PENDING_HEAD] = (i[PENDING_HEAD] + 1) % PENDING_CAP;
        i[PENDING_COUNT]--;
        if (e[4] >= (1.0 - 0.05) * e[3]) x[e[2] > 0.0 ? REMOVED_BID : REMOVED_ASK] += e[4] * e[1];
    }
}

#endif
