/* What a trade changes: guard/features/kernel/trades.py, prints.py and reference.py. */
#ifndef TWIN_TRADES_H
#define TWIN_TRADES_H

#include "twin_windows.h"

static void average(double *x, int64_t *i, int64_t at, double price) {
    if (i[EWMA_BEGAN] == NEVER) {
        i[EWMA_BEGAN] = at;
        x[EWMA] = price;
    } else if (at >= i[EWMA_AT]) {
        const int64_t held = at - i[EWMA_AT];
        if (held > 0) x[EWMA] += (x[EWMA_PRICE] - x[EWMA]) * (1.0 - exp((double)-held / 600e6));
    } else {
        return;
    }
    i[EWMA_AT] = at;
    x[EWMA_PRICE] = price;
}

static void sweep(double *x, int64_t *i, int64_t stamp, double price, int64_t side, double turnover) {
    const int64_t at_slot = side > 0 ? BUYER_AT : SELLER_AT, price_slot = side > 0 ? BUYER_PRICE : SELLER_PRICE;
    const int64_t second_slot = side > 0 ? BUYER_RUSH_SECOND : SELLER_RUSH_SECOND;
    const int64_t levels = side > 0 ? RUSH_BUY_LEVELS : RUSH_SELL_LEVELS, order_slot = side > 0 ? BUYER_ORDER : SELLER_ORDER;
    const int64_t last = i[at_slot];
    if (stamp != last) i[order_slot] = 0;
    if ((price - x[price_slot]) * (double)side > 0.0 && stamp >= last && stamp - last <= SECOND_US) {
        x[levels] += 1.0;
        x[side > 0 ? SWEPT_BUY : SWEPT_SELL] += turnover;
        i[URGENT] = 1;
        if (stamp == last && !i[order_slot]) {
            i[order_slot] = 1;
            x[levels + RUSH_BUY_ORDERS - RUSH_BUY_LEVELS] += 1.0;
        }
        const int64_t second = i[AT] / SECOND_US;
        if (second != i[second_slot]) {
            i[second_slot] = second;
            x[levels + RUSH_BUY_SECONDS - RUSH_BUY_LEVELS] += 1.0;
        }
    }
    i[at_slot] = stamp;
    x[price_slot] = price;
}

static int64_t trade(double *x, int64_t *i, int64_t stamp, double price, double amount, int64_t side, int is_inferred) {
    const int64_t at = i[AT];
    if (side == 0) {
        side = price > x[MID] ? 1 : price < x[MID] ? -1 : 0;
        is_inferred = 1;
    }
    const double turnover = price * amount;
    x[VOLUME] += amount;
    x[TURNOVER] += turnover;
    x[TRADES] += 1.0;
    if (side > 0) {
        x[BUY_VOLUME] += amount;
        x[BUY_TURNOVER] += turnover;
    }
    if (is_inferred) x[UNSURE_VOLUME] += amount;
    if (x[BID] < price && price < x[ASK] && i[BOOK_OK] && at - i[BOOK_AT] < 100000) x[INSIDE_VOLUME] += amount;
    if (side != 0) sweep(x, i, stamp, price, side, turnover);
    const int64_t second = at / SECOND_US;
    if (second != i[SECOND]) {
        i[SECOND] = second;
        const double close = x[PRICE], earlier = x[SECOND_CLOSE];
        if (earlier > 0.0 && close > 0.0 && close != earlier) {
            const double change = log(close / earlier);
            x[SQUARES] += change * change;
        }
        x[SECOND_CLOSE] = close > 0.0 ? close : price;
    }
    const double step = fabs(price - x[PRICE]);
    if (step > 1e-9 * price && !(step >= x[TICK_SEEN])) x[TICK_SEEN] = step;
    x[PRICE] = price;
    if (!(price <= x[OPEN_HIGH])) x[OPEN_HIGH] = price;
    if (!(price >= x[OPEN_LOW])) x[OPEN_LOW] = price;
    const double evaluated = x[EVALUATED_PRICE];
    if (!(fabs(price - evaluated) <= 0.002 * evaluated)) i[URGENT] = 1;
    average(x, i, at, price);
    return side;
}

static void compare(double *x, int64_t *i, double theirs) {
    const int64_t minute = i[AT] / MINUTE_US;
    if (minute != i[MINUTE]) {
        i[MINUTE] = minute;
        const double own = x[PAIR_PRICE], other = x[PAIR_REFERENCE], decay = 1.0 - 1.0 / 1440.0;
        if (x[MINUTE_PRICE] > 0.0 && x[MINUTE_REFERENCE] > 0.0 && other > 0.0 && own > 0.0) {
            const double change = log(other / x[MINUTE_REFERENCE]), moved = log(own / x[MINUTE_PRICE]);
            x[BETA_XY] = decay * x[BETA_XY] + change * moved;
            x[BETA_XX] = decay * x[BETA_XX] + change * change;
            x[BETA_YY] = decay * x[BETA_YY] + moved * moved;
            x[BETA_WEIGHT] = decay * x[BETA_WEIGHT] + 1.0;
        }
        x[MINUTE_PRICE] = own;
        x[MINUTE_REFERENCE] = other;
    }
    x[PAIR_PRICE] = x[PRICE];
    x[PAIR_REFERENCE] = theirs;
}

/* The last 500 trades. An entry: time, amount, price (below 0 where trades before it are missing). */

enum {
    SIZES = PRINTS_CAP * PRINTS_PARTS, PAIRS = SIZES + SIZE_BUCKETS, TURNS, WALKED, TRADED, ENTROPY, TOP, WALKED_PEAK, TRADED_PEAK, HOLES,
};

static void link_prints(double *t, const double *first, double at, double two, double price, double sign) {
    const double one = first[1];
    t[TRADED] += sign * fabs(price * two);
    if (price < 0.0) {
        t[HOLES] += sign;
        return;
    }
    if ((one < 0.0) != (two < 0.0) && first[0] >= 0.0 && at >= 0.0) {
        t[TURNS] += sign;
        if (one == -two && at - first[0] <= 2e6) t[PAIRS] += sign;
    }
    if (price > 0.0) t[WALKED] += sign * (fabs(price - fabs(first[2])) / price);
}

static int64_t size_bucket(double amount) {
    int exponent;
    const double mantissa = frexp(amount, &exponent);
    const int64_t bucket = ((int64_t)(mantissa * 9007199254740992.0) % 1000003 * 8191 + exponent * 131) % 1021;
    return bucket < 0 ? bucket + 1021 : bucket;
}

static void count_size(double *t, const double *q, int64_t bucket, int64_t change) {
    const double holders = 1048576.0;
    double *sizes = t + SIZES, *place = sizes + (bucket >> 1);
    const int64_t packed = (int64_t)*place, shift = 10 * (bucket & 1), held = (packed >> shift) & 1023, now = held + change;
    *place = (double)(packed + change * (INT64_C(1) << shift));
    if (held > 0) sizes[held] -= holders;
    if (now > 0) sizes[now] += holders;
    if ((double)now > t[TOP] || ((double)held == t[TOP] && sizes[held] < holders)) t[TOP] = (double)now;
    t[ENTROPY] += q[now] - q[held];
}

static void sum_prints_anew(double *t, const int64_t *i) {
    const int64_t tail = i[PRINTS_TAIL];
    double walked = 0.0, traded = 0.0;
    const double *last = t + tail * PRINTS_PARTS;
    for (int64_t number = tail + 1; number < tail + i[PRINTS_COUNT]; number++) {
        const double *e = t + (number % PRINTS_CAP) * PRINTS_PARTS;
        if (e[2] > 0.0) walked += fabs(e[2] - fabs(last[2])) / e[2];
        traded += fabs(e[2] * e[1]);
        last = e;
    }
    t[WALKED] = t[WALKED_PEAK] = walked;
    t[TRADED] = t[TRADED_PEAK] = traded;
}

static void drop_print(double *t, int64_t *i, const double *q) {
    const double *e = t + i[PRINTS_TAIL] * PRINTS_PARTS;
    count_size(t, q, size_bucket(fabs(e[1])), -1);
    const int64_t tail = (i[PRINTS_TAIL] + 1) % PRINTS_CAP, count = i[PRINTS_COUNT] - 1;
    i[PRINTS_TAIL] = tail;
    i[PRINTS_COUNT] = count;
    if (count == 0) return;
    const double *oldest = t + tail * PRINTS_PARTS;
    if (t[WALKED] > t[WALKED_PEAK]) t[WALKED_PEAK] = t[WALKED];
    if (t[TRADED] > t[TRADED_PEAK]) t[TRADED_PEAK] = t[TRADED];
    link_prints(t, e, oldest[0], oldest[1], oldest[2], -1.0);
    const int is_near = t[WALKED] >= t[WALKED_PEAK] / 1024.0 && t[TRADED] >= t[TRADED_PEAK] / 1024.0;
    if (tail == 0 || count == 1 || !is_near) sum_prints_anew(t, i);
}

static void add_print(double *t, int64_t *i, const double *q, double price, double amount, int64_t side) {
    if (i[PRINTS_COUNT] == PRINTS_CAP) drop_print(t, i, q);
    const int64_t count = i[PRINTS_COUNT], number = i[PRINTS_TAIL] + count;
    double *e = t + (number % PRINTS_CAP) * PRINTS_PARTS;
    const double at = side != 0 ? (double)i[AT] : (double)(-1 - i[AT]), two = side < 0 ? -amount : amount;
    e[0] = at;
    e[1] = two;
    e[2] = price;
    i[PRINTS_COUNT] = count + 1;
    if (count > 0) link_prints(t, t + ((number - 1) % PRINTS_CAP) * PRINTS_PARTS, at, two, price, 1.0);
    count_size(t, q, size_bucket(amount), 1);
}

static void expire_prints(double *t, int64_t *i, const double *q) {
    const double at = (double)i[AT];
    while (i[PRINTS_COUNT] > 0) {
        double kept = t[i[PRINTS_TAIL] * PRINTS_PARTS];
        if (kept < 0.0) kept = -1.0 - kept;
        if (at - kept <= 86400e6) return;
        drop_print(t, i, q);
    }
}

#endif
