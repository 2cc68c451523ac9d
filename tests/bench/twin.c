/* The kernel's state upkeep in C, for trades and books: the same rows, the same plan, the same arithmetic in the same order.

   guard/features/kernel/fold.py and drive.py, over rules that say nothing: after a run every bit of the rows is as the kernel's.
   slots.h is made from the Python constants by twin.py. */

#include "twin_book.h"
#include "twin_trades.h"

enum { IS_CHANGED = 1, IS_DUE };

typedef struct {
    double *x;
    int64_t *i;
    int64_t floats, integers;
    const int64_t *p;
    const double *q;
} State;

static void forward(double *x, int64_t *i, const int64_t *p, const double *q, int64_t at) {
    i[AT] = at;
    if (at >= i[NEXT_CLOSE]) close_bins(x, i, p, q, at);
    else if (i[NEXT_CLOSE] == NEVER) mark_bins(x, i, p, at);
    if (at >= i[NEXT_EDGE]) {
        const int64_t hour = at / HOUR_US;
        if (hour != i[HOUR]) {
            i[HOUR] = hour;
            rebase_marks(x, p);
            rebase(x, p);
        }
        roll(x, i, p, at);
    }
    if (i[PENDING_COUNT] > 0) classify(x, i, p[P_PENDING]);
    if (i[PRINTS_COUNT] > 0) expire_prints(x + p[P_PRINTS], i, q);
}

static void begin(double *x, int64_t *i, int64_t since, int64_t began, int64_t lost, int64_t down) {
    static const int64_t downs[] = {RANGE_DOWN, QUOTES_DOWN, TRADES_DOWN, SWEEPS_DOWN, BOOK_DOWN,
                                    FLOW_DOWN, BARS_DOWN, DATA_DOWN, EVENTS_DOWN};
    if (i[since] != NEVER) return;
    i[since] = i[AT];
    if (i[began] == NEVER) {
        i[began] = i[AT];
    } else if (i[lost] >= 0) {
        const double us = (double)most(0, i[AT] - i[lost]);
        for (size_t n = 0; n < sizeof downs / sizeof *downs; n++) x[downs[n] + down] += us;
    }
    i[lost] = -1;
}

static int is_due(double *x, int64_t *i) {
    const int64_t opened = i[AT] / BIN_US;
    if (opened == i[EVALUATED_BIN] && !i[URGENT]) return IS_CHANGED;
    i[EVALUATED_BIN] = opened;
    i[URGENT] = 0;
    x[EVALUATED_PRICE] = x[PRICE];
    return IS_DUE;
}

static void sample_spread(double *x, int64_t *i, const int64_t *p, const double *q) {
    const int64_t second = i[AT] / SECOND_US, lasted = second - i[SAMPLED];
    if (lasted <= 0) return;
    i[SAMPLED] = second;
    double width = x[MID] > 0.0 ? (x[ASK] - x[BID]) / x[MID] : NAN;
    if (width != width) return;
    width = higher(width, 1e-9);
    const double count = (double)least(lasted, 60);
    const int64_t *b = p + p[P_BASELINES], *end = b + p[P_BASELINE_COUNT] * BASELINE_STRIDE;
    for (; b < end; b += BASELINE_STRIDE)
        if (b[B_SOURCE] < 0) observe(x, q, b, width, count, count * SECOND_US / (double)b[B_DECAY_US]);
}

static int fold_trade(const State *s, double *x, int64_t *i, int64_t at, int64_t received, double price, double amount,
                      int64_t side, int flags) {
    const int64_t *p = s->p;
    if (i[TRADES_SINCE] == NEVER) begin(x, i, TRADES_SINCE, TRADES_BEGAN, TRADES_LOST, 0);
    const int is_torn = x[PRICE] != x[PRICE];
    const int64_t taken = trade(x, i, at, price, amount, side, flags & FLAG_INFERRED_SIDE);
    if (at > i[TRADE_AT]) i[TRADE_AT] = at;
    if (received >= i[TRADE_RECEIVED]) {
        i[TRADE_RECEIVED] = received;
        i[TRADE_SENT] = at;
    }
    if (i[REFERENCE] >= 0) compare(x, i, s->x[i[REFERENCE] * s->floats + PRICE]);
    if (p[P_PENDING] >= 0) fill(x, i, p[P_PENDING], p[P_FILLS], price, amount, taken);
    if (p[P_PRINTS] >= 0) add_print(x + p[P_PRINTS], i, s->q, is_torn ? -price : price, amount, taken);
    return is_due(x, i);
}

static int fold_level(const State *s, double *x, int64_t *i, int64_t at, int64_t received, double price, double amount,
                      int64_t side, int flags) {
    const int64_t *p = s->p;
    const int is_full = flags & FLAG_SNAPSHOT;
    if (!i[IN_MESSAGE]) {
        i[IN_MESSAGE] = 1;
        if (is_full) {
            begin(x, i, BOOK_SINCE, BOOK_BEGAN, BOOK_LOST, 1);
            i[BIDS] = i[ASKS] = 0;
            i[BEST_MOVED] = 1;
            i[BOOK_OK] = 1;
        }
    }
    if (i[BOOK_OK]) {
        const double removed = set_level(x, i, p[P_BOOK], i[AT], price, amount, side, is_full);
        if (!is_full) x[CHURN] += 1.0;
        if (removed > 0.0 && p[P_PENDING] >= 0 && i[TRADES_LOST] < 0) remove_unfilled(x, i, p[P_PENDING], p[P_FILLS], price, removed, side);
    }
    if (!(flags & FLAG_LAST)) return IS_CHANGED;
    i[IN_MESSAGE] = 0;
    if (!i[BOOK_OK]) return is_due(x, i);
    if (at > i[BOOK_AT]) i[BOOK_AT] = at;
    if (received >= i[BOOK_RECEIVED]) {
        i[BOOK_RECEIVED] = received;
        i[BOOK_SENT] = at;
    }
    if (p[P_USUAL_SPREAD] >= 0) sample_spread(x, i, p, s->q);
    settle(x, i, p[P_BOOK]);
    if (i[BEST_MOVED]) {
        i[BEST_MOVED] = 0;
        i[URGENT] = 1;
    }
    return is_due(x, i);
}

static int fold(const State *s, double *x, int64_t *i, int kind, int64_t at, int64_t received, double price, double amount,
                int64_t side, int flags) {
    i[VERSION]++;
    if (received > i[RECEIVED]) i[RECEIVED] = received;
    if (at < i[EVENT_AT]) {
        i[LATE]++;
    } else {
        i[EVENT_AT] = at;
        if (at > i[AT]) forward(x, i, s->p, s->q, at);
    }
    if (kind == KIND_TRADE) return fold_trade(s, x, i, at, received, price, amount, side, flags);
    return fold_level(s, x, i, at, received, price, amount, side, flags);
}

/* An evaluation of rules that say nothing. */
static void schedule(int64_t *i, int64_t *c) {
    c[EVALUATIONS]++;
    if (i[DIRTY] == UNSEEN) i[DIRTY] = SEEN;
}

static void fire(const State *s, int64_t *c, const int64_t *d) {
    const int64_t due = c[DIRTY_DUE], row = d[c[DIRTY_NEXT]++];
    int64_t *i = s->i + row * s->integers;
    if (c[DIRTY_NEXT] == c[DIRTY_COUNT]) {
        c[DIRTY_NEXT] = c[DIRTY_COUNT] = 0;
        c[DIRTY_DUE] = NEVER;
    }
    const int is_seen = i[DIRTY] == SEEN;
    i[DIRTY] = CLEAN;
    if (is_seen) return;
    c[NOW] = most(c[NOW], due);
    const int64_t at = i[EVENT_AT] + most(0, due - i[RECEIVED]);
    if (at > i[AT]) {
        i[VERSION]++;
        forward(s->x + row * s->floats, i, s->p, s->q, at);
    }
    schedule(i, c);
}

/* Returns how many rows were taken: all, or those before one that is neither a trade nor a level of now. */
int64_t twin_run(double *X, int64_t *I, int64_t floats, int64_t integers, const int64_t *p, const double *q, int64_t *c,
                 int64_t *d, int64_t count, const int8_t *kinds, const int32_t *markets, const int64_t *ats,
                 const int64_t *arrivals, const double *prices, const double *amounts, const int8_t *sides, const int8_t *flags) {
    const State s = {X, I, floats, integers, p, q};
    for (int64_t n = 0; n < count; n++) {
        const int64_t arrival = arrivals[n];
        if ((kinds[n] != KIND_TRADE && kinds[n] != KIND_LEVEL) || flags[n] & FLAG_BACKFILL) return n;
        while (c[DIRTY_DUE] <= arrival) fire(&s, c, d);
        const int64_t row = markets[n], now = most(arrival, c[NOW]);
        int64_t *i = I + row * integers;
        c[NOW] = now;
        const int answer = fold(&s, X + row * floats, i, kinds[n], ats[n], arrival, prices[n], amounts[n], sides[n], flags[n]);
        i[ARRIVED] = now;
        if (answer == IS_DUE) {
            schedule(i, c);
            continue;
        }
        if (i[DIRTY] == CLEAN) {
            d[c[DIRTY_COUNT]] = row;
            if (c[DIRTY_COUNT] == 0) c[DIRTY_DUE] = (now / BIN_US + 1) * BIN_US;
            c[DIRTY_COUNT]++;
        }
        i[DIRTY] = UNSEEN;
    }
    return count;
}
