/* The cluster of workload.py, written by hand in C: the yardstick for compiled machines.

   Plain C as one would write it for this workload alone: events lie in the heap themselves, fields are as narrow as they
   may be, nothing is allocated. Draws are those of model/draws.py (Threefry-2x32, 20 rounds), so that all engines see
   the same packets lost. */

#include <stdint.h>

enum { WATCHERS = 3, SERVERS = 5, LINKS = WATCHERS * SERVERS, QUORUM = 2 };
enum { PERIOD_US = 1000000, TIMEOUT_US = 500000, DOWN_AFTER_US = 5000000, LEAST_US = 200, SPREAD_US = 4800 };
enum { LOSS_PERCENT = 1, CRASH_US = 20000000, CRASH_SPREAD_US = 20000000, END_US = 60000000 };
enum { MAX_EVENTS = 1 + 3 * LINKS };
enum { TICK, PING, PONG, TIMEOUT, CRASH };
#define DIGEST_BITS ((1LL << 56) - 1)

struct stream { uint32_t key_high, key_low, count; };
struct event { int64_t t_us; uint32_t order; int16_t kind, link; int32_t ping; };
struct link { struct stream stream; int64_t heard_us; int32_t server, sent, answered, is_down; };
struct cluster {
    int64_t now_us, crashed_us, agreed_us, missed, happened, digest;
    uint32_t order;
    int n, has_crashed, votes;
    struct link link[LINKS];
    struct event heap[MAX_EVENTS];
};
struct totals { int64_t events, missed, outage_us, digest; };

/* --- draws --- */

static inline uint32_t rotate(uint32_t x, int bits) { return x << bits | x >> (32 - bits); }

static inline void four_rounds(uint32_t *x0, uint32_t *x1, int r0, int r1, int r2, int r3) {
    *x0 += *x1; *x1 = rotate(*x1, r0) ^ *x0;
    *x0 += *x1; *x1 = rotate(*x1, r1) ^ *x0;
    *x0 += *x1; *x1 = rotate(*x1, r2) ^ *x0;
    *x0 += *x1; *x1 = rotate(*x1, r3) ^ *x0;
}

static inline void threefry(uint32_t high, uint32_t low, uint32_t counter_high, uint32_t counter_low, uint32_t *words) {
    uint32_t k2 = 0x1BD11BDA ^ high ^ low, x0 = counter_high + high, x1 = counter_low + low;
    four_rounds(&x0, &x1, 13, 15, 26, 6);
    x0 += low; x1 += k2 + 1;
    four_rounds(&x0, &x1, 17, 29, 16, 24);
    x0 += k2; x1 += high + 2;
    four_rounds(&x0, &x1, 13, 15, 26, 6);
    x0 += high; x1 += low + 3;
    four_rounds(&x0, &x1, 17, 29, 16, 24);
    x0 += low; x1 += k2 + 4;
    four_rounds(&x0, &x1, 13, 15, 26, 6);
    words[0] = x0 + k2; words[1] = x1 + high + 5;
}

static void start(struct stream *stream, int64_t seed, int64_t run, uint32_t entity, uint32_t purpose) {
    uint32_t key[2], mixed[2];
    threefry((uint32_t)seed, (uint32_t)(seed >> 32), (uint32_t)(run >> 32), (uint32_t)run, key);
    threefry(key[0], key[1], entity, purpose, mixed);
    *stream = (struct stream){mixed[0], mixed[1], 0};
}

static int64_t below(struct stream *stream, uint32_t limit) {
    uint32_t words[2];
    threefry(stream->key_high, stream->key_low, 0, stream->count++, words);
    return (int64_t)((uint64_t)words[0] * limit >> 32);
}

/* --- the event queue --- */

static inline int is_before(const struct event *a, const struct event *b) {
    return a->t_us < b->t_us || (a->t_us == b->t_us && a->order < b->order);
}

static void schedule(struct cluster *c, int64_t t_us, int kind, int link, int32_t ping) {
    struct event event = {t_us, c->order++, (int16_t)kind, (int16_t)link, ping};
    int at = c->n++;
    while (at > 0 && is_before(&event, &c->heap[(at - 1) >> 1])) {
        c->heap[at] = c->heap[(at - 1) >> 1];
        at = (at - 1) >> 1;
    }
    c->heap[at] = event;
}

static struct event pop(struct cluster *c) {
    struct event first = c->heap[0], last = c->heap[--c->n];
    int at = 0, down;
    while ((down = 2 * at + 1) < c->n) {
        if (down + 1 < c->n && is_before(&c->heap[down + 1], &c->heap[down]))
            down++;
        if (!is_before(&c->heap[down], &last))
            break;
        c->heap[at] = c->heap[down];
        at = down;
    }
    c->heap[at] = last;
    return first;
}

/* --- the cluster --- */

static void send(struct cluster *c, struct link *link, int kind, int32_t ping) {
    if (below(&link->stream, 100) >= LOSS_PERCENT)
        schedule(c, c->now_us + LEAST_US + below(&link->stream, SPREAD_US), kind, (int)(link - c->link), ping);
}

static void hear(struct cluster *c, struct link *link, int32_t ping) {
    link->heard_us = c->now_us;
    if (ping > link->answered)
        link->answered = ping;
    if (link->is_down) {
        link->is_down = 0;
        c->votes -= link->server == 0;
    }
}

static void time_out(struct cluster *c, struct link *link, int32_t ping) {
    if (link->answered >= ping)
        return;
    c->missed++;
    if (!link->is_down && c->now_us - link->heard_us > DOWN_AFTER_US) {
        link->is_down = 1;
        if (link->server == 0 && ++c->votes >= QUORUM && c->agreed_us == 0)
            c->agreed_us = c->now_us;
    }
}

static void happen(struct cluster *c, struct event event) {
    struct link *link = &c->link[event.link];
    c->now_us = event.t_us;
    c->happened++;
    c->digest = (c->digest * 31 + c->now_us + event.kind) & DIGEST_BITS;
    switch (event.kind) {
    case TICK:
        send(c, link, PING, ++link->sent);
        schedule(c, c->now_us + TIMEOUT_US, TIMEOUT, event.link, link->sent);
        schedule(c, c->now_us + PERIOD_US, TICK, event.link, 0);
        break;
    case PING:
        if (link->server != 0 || !c->has_crashed)
            send(c, link, PONG, event.ping);
        break;
    case PONG:
        hear(c, link, event.ping);
        break;
    case TIMEOUT:
        time_out(c, link, event.ping);
        break;
    default:
        c->has_crashed = 1;
    }
}

static void run_once(struct cluster *c, int64_t seed, int64_t run) {
    c->agreed_us = c->missed = c->happened = c->digest = 0;
    c->order = 0;
    c->n = c->has_crashed = c->votes = 0;
    for (int i = 0; i < LINKS; i++) {
        struct link *link = &c->link[i];
        *link = (struct link){.server = i % SERVERS};
        start(&link->stream, seed, run, (uint32_t)i, 0);
        schedule(c, below(&link->stream, PERIOD_US), TICK, i, 0);
    }
    c->crashed_us = CRASH_US + below(&c->link[0].stream, CRASH_SPREAD_US);
    schedule(c, c->crashed_us, CRASH, 0, 0);
    while (c->heap[0].t_us < END_US)
        happen(c, pop(c));
}

void batch(struct totals *totals, int64_t seed, int64_t first, int64_t count) {
    static struct cluster cluster;
    for (int64_t run = first; run < first + count; run++) {
        run_once(&cluster, seed, run);
        totals->events += cluster.happened;
        totals->missed += cluster.missed;
        totals->outage_us += cluster.agreed_us - cluster.crashed_us;
        totals->digest = (totals->digest * 31 + cluster.digest) & DIGEST_BITS;
    }
}
