/* How the sentinels of Redis choose the one that carries out a failover: for Spin.
 *
 * The same abstraction as in ../tla/SentinelElection.tla, whose head says what it leaves out and why more can happen
 * here than in reality: no clock (an instant is recent or long past), no network (what was ever sent may arrive at any
 * moment), the primary is down for everybody, nobody restarts, a leader stays. Lines are those of sentinel.c 7.0.15.
 *
 * Parameters: -DN=3 sentinels, -DQUORUM=2, -DEPOCHS=2, -DSTALLS=0. Asserted is that no sentinel votes twice in an
 * epoch, and that no epoch has two leaders; or, with -DSEEK_LEADER or -DSEEK_FAILURE, that nobody is ever elected, that
 * no attempt ever fails: the counterexample is a way to what must be possible.
 *
 * Every step is one d_step, and the only process is always at the same place: what Spin stores are exactly the states
 * between two steps. The preprocessor writes all options out, so that each index is a constant.
 */

#ifndef N
#define N 3
#endif
#ifndef QUORUM
#define QUORUM 2
#endif
#ifndef EPOCHS
#define EPOCHS 2
#endif
#ifndef STALLS
#define STALLS 0
#endif

/* Something for each sentinel; for each pair; for each pair and epoch (from 1). And a sum over the sentinels p. */
#define EACH2(f) f(0) f(1)
#define EACH3(f) EACH2(f) f(2)
#define EACH4(f) EACH3(f) f(3)
#define EACH5(f) EACH4(f) f(4)
#define PAIRS2(f) f(0, 1) f(1, 0)
#define PAIRS3(f) PAIRS2(f) f(0, 2) f(1, 2) f(2, 0) f(2, 1)
#define PAIRS4(f) PAIRS3(f) f(0, 3) f(1, 3) f(2, 3) f(3, 0) f(3, 1) f(3, 2)
#define PAIRS5(f) PAIRS4(f) f(0, 4) f(1, 4) f(2, 4) f(3, 4) f(4, 0) f(4, 1) f(4, 2) f(4, 3)
#define SUM2(f, n, c, k) (f(n, c, k, 0) + f(n, c, k, 1))
#define SUM3(f, n, c, k) (SUM2(f, n, c, k) + f(n, c, k, 2))
#define SUM4(f, n, c, k) (SUM3(f, n, c, k) + f(n, c, k, 3))
#define SUM5(f, n, c, k) (SUM4(f, n, c, k) + f(n, c, k, 4))
#define ALL2(f, n) (f(n, 0) && f(n, 1))
#define ALL3(f, n) (ALL2(f, n) && f(n, 2))
#define ALL4(f, n) (ALL3(f, n) && f(n, 3))
#define ALL5(f, n) (ALL4(f, n) && f(n, 4))
#define IN_EPOCHS1(f, n, p) f(n, p, 1)
#define IN_EPOCHS2(f, n, p) IN_EPOCHS1(f, n, p) f(n, p, 2)
#define IN_EPOCHS3(f, n, p) IN_EPOCHS2(f, n, p) f(n, p, 3)
#define IN_EPOCHS4(f, n, p) IN_EPOCHS3(f, n, p) f(n, p, 4)
#define IN_EPOCHS5(f, n, p) IN_EPOCHS4(f, n, p) f(n, p, 5)
#define JOIN(a, b) a ## b
#define WITH(name, count) JOIN(name, count)

#define NOBODY 255
#define NEEDED ((N / 2 + 1 > QUORUM) -> N / 2 + 1 : QUORUM)

#define NO_ATTEMPT 0
#define COUNTING 1
#define WON 2

/* Of sentinel n, of its memory of p's vote, and of its vote in epoch e. */
byte epoch[N];                        /* sentinel.current_epoch */
byte votedFor[N] = NOBODY;            /* master->leader */
byte votedIn[N];                      /* master->leader_epoch */
byte attempt[N];                      /* master->failover_state */
byte tried[N];                        /* master->failover_epoch, 0: never */
bool recent[N];                       /* master->failover_start_time is not long past */
byte heardWho[N * N] = NOBODY;        /* ri->leader */
byte heardEpoch[N * N];               /* ri->leader_epoch */
byte cast[N * EPOCHS] = NOBODY;       /* what the network may deliver; sentinel.c has no such thing */

byte most, candidate;                 /* used within a step, 0 between steps */

#define MEMORY(n, p) ((n) * N + (p))
#define BALLOT(n, e) ((n) * EPOCHS + (e) - 1)

/* Votes for k in epoch c that n remembers of others: sentinelGetLeader, 4706-4712. */
#define IS_VOTE(n, c, k, p) (p != n && heardWho[MEMORY(n, p)] == (k) && heardEpoch[MEMORY(n, p)] == (c))
#define VOTES(n, c, k) WITH(SUM, N)(IS_VOTE, n, c, k)

/* sentinelVoteLeader, 4643-4648. */
inline castVote(n, e, k) {
    assert(cast[BALLOT(n, e)] == NOBODY || cast[BALLOT(n, e)] == k);
    votedFor[n] = k;
    votedIn[n] = e;
    cast[BALLOT(n, e)] = k
}

/* sentinelGetLeader, 4737-4749: votes of others of the current epoch, the own one if it is of the attempt's epoch.
 * Who has a majority is the only one, so nobody else needs to be counted. */
#define OWN_VOTE(n) (votedFor[n] == n && votedIn[n] == tried[n])
#define WINS(n) (VOTES(n, epoch[n], n) + OWN_VOTE(n) >= NEEDED)

#define IS_NO_RIVAL(n, m) (m == n || attempt[m] != WON || tried[m] != tried[n])

inline win(n) {
    attempt[n] = WON;
#ifdef SEEK_LEADER
    assert(false);
#endif
    assert(WITH(ALL, N)(IS_NO_RIVAL, n))
}

/* Who votes with somebody that leads, votes for the first of those with most votes: 4721-4735. */
#define PREFER(n, k) \
    if \
    :: VOTES(n, epoch[n], k) > most -> most = VOTES(n, epoch[n], k); candidate = k \
    :: else \
    fi;
#define PREFER2(n) PREFER(n, 0) PREFER(n, 1)
#define PREFER3(n) PREFER2(n) PREFER(n, 2)
#define PREFER4(n) PREFER3(n) PREFER(n, 3)
#define PREFER5(n) PREFER4(n) PREFER(n, 4)

/* Messages arrive in time: who has voted in an epoch starts the next when all have heard of it, and attempts are over. */
#define IS_OVER(n, m) (m == n || (epoch[m] >= votedIn[n] && (attempt[m] != COUNTING || tried[m] > votedIn[n])))

/* sentinelStartFailoverIfNeeded 4858, sentinelStartFailover 4834, and in the same tick the own vote and a count. */
#define START(n) \
    :: d_step { \
        attempt[n] == NO_ATTEMPT && !recent[n] && epoch[n] < EPOCHS && (STALLS || WITH(ALL, N)(IS_OVER, n)) -> \
        epoch[n]++; \
        tried[n] = epoch[n]; \
        attempt[n] = COUNTING; \
        recent[n] = true; \
        most = 0; \
        candidate = n; \
        WITH(PREFER, N)(n) \
        castVote(n, epoch[n], candidate); \
        if \
        :: WINS(n) -> win(n) \
        :: else \
        fi; \
        most = 0; \
        candidate = 0 \
    }

/* A later tick: sentinelFailoverWaitStart 4994, sentinelAbortFailover 5246. */
#ifdef SEEK_FAILURE
#define FAIL(n) assert(false)
#else
#define FAIL(n) attempt[n] = NO_ATTEMPT
#endif
#define COUNT(n) \
    :: d_step { \
        attempt[n] == COUNTING -> \
        if \
        :: WINS(n) -> win(n) \
        :: else -> \
            if \
            :: !recent[n] -> FAIL(n) \
            :: else \
            fi \
        fi \
    }

/* An attempt has lasted too long, or the next may start. */
#define WAIT(n) \
    :: d_step { attempt[n] != WON && recent[n] -> recent[n] = false }

/* p has not answered for 5 s: sentinelAskMasterStateToOtherSentinels, 4588. The epoch stays, and nobody reads it. */
#define FORGET(n, p) \
    :: d_step { attempt[n] != WON && heardWho[MEMORY(n, p)] != NOBODY -> heardWho[MEMORY(n, p)] = NOBODY }

/* A hello of p, from when it was in epoch e: sentinelProcessHelloMessage, 2933. */
#define HELLO(n, p, e) \
    :: d_step { epoch[n] < e && e <= epoch[p] -> epoch[n] = e }

/* p asks n for its vote in epoch e: sentinelCommand 3881, sentinelVoteLeader 4635. */
#define ASK(n, p, e) \
    :: d_step { \
        tried[p] > 0 && e <= epoch[p] -> \
        if \
        :: e > epoch[n] -> epoch[n] = e \
        :: else \
        fi; \
        if \
        :: votedIn[n] < e && epoch[n] <= e -> castVote(n, e, p); recent[n] = true \
        :: else \
        fi \
    }

/* An answer of p brings n its vote in epoch e, however old: sentinelReceiveIsMasterDownReply, 4534. */
#define LEARN(n, p, e) \
    :: d_step { \
        cast[BALLOT(p, e)] != NOBODY -> \
        heardWho[MEMORY(n, p)] = cast[BALLOT(p, e)]; \
        heardEpoch[MEMORY(n, p)] = e \
    }

#define MESSAGES(n, p) \
    WITH(IN_EPOCHS, EPOCHS)(HELLO, n, p) WITH(IN_EPOCHS, EPOCHS)(ASK, n, p) WITH(IN_EPOCHS, EPOCHS)(LEARN, n, p)

active proctype Sentinels() {
end:
    do
    WITH(EACH, N)(START)
    WITH(EACH, N)(COUNT)
    WITH(EACH, N)(WAIT)
    WITH(PAIRS, N)(FORGET)
    WITH(PAIRS, N)(MESSAGES)
    od
}
