-------------------------- MODULE SentinelElection --------------------------
(***************************************************************************)
(* How the sentinels of Redis choose the one that carries out a failover.  *)
(*                                                                         *)
(* The module describes the election part of sentinel.c as it is, its      *)
(* known flaw included (Redis issue 11571, pull request 2230): every       *)
(* action names the functions that it refines, with lines of Redis 7.0.15. *)
(* As far as modelled here, 6.2 to 8.0 do the same.                        *)
(*                                                                         *)
(* What the abstraction leaves out, and why more can happen here than in   *)
(* reality, never less:                                                    *)
(*                                                                         *)
(*  - The primary is objectively down for everybody from the start and     *)
(*    stays so: whoever sentinel.c allows to start an attempt may start    *)
(*    one.  In reality some see it later, or never.                        *)
(*  - There is no clock.  An instant is recent or long past, and a recent  *)
(*    one may become long past at any moment (Wait, Forget).  All that     *)
(*    sentinel.c decides by the age of an instant (an attempt's time-out,  *)
(*    the pause before the next, the expiry of an answer) can therefore    *)
(*    happen in any order.  Stalls tells about the one exception.          *)
(*  - There is no network.  Who has ever started an attempt may be heard,  *)
(*    at any moment, to ask for votes in any epoch that it has reached;    *)
(*    an answer may arrive at any moment, with any vote that its sender    *)
(*    ever cast; a hello with any epoch that anybody has reached.  Every   *)
(*    delay, loss, repetition and reordering of messages is among these.   *)
(*  - Nobody restarts, and nobody is removed: the group is fixed.          *)
(*  - There is one group.  (Several would share the current epoch.)        *)
(*  - An elected leader stays elected: what it does with its win is not    *)
(*    part of this.                                                        *)
(*  - Attempts start only below MaxEpoch, which makes the model finite.    *)
(***************************************************************************)
EXTENDS Naturals, FiniteSets, TLC

CONSTANTS
    Sentinel,   \* The sentinels: numbers, or model values.
    Quorum,     \* Votes that a leader needs, besides those of a majority.
    MaxEpoch,   \* Attempts start only below this epoch.
    Stalls,     \* Messages may take, and sentinels stand still, for longer than failover-timeout.
    AnyOrder,   \* Of candidates with equally many votes any is first; else the least one: see FrontRunners.
    None        \* Nobody.

ASSUME
    /\ Quorum \in 1..Cardinality(Sentinel)
    /\ MaxEpoch \in Nat \ {0}
    /\ {Stalls, AnyOrder} \subseteq BOOLEAN
    /\ None \notin Sentinel

Epoch == 0..MaxEpoch
Nobody == [who |-> None, epoch |-> 0]

VARIABLES
    epoch,      \* epoch[n]: the epoch that n has reached.               sentinel.current_epoch
    votedFor,   \* votedFor[n]: whom n voted for last, or None.          master->leader
    votedIn,    \* votedIn[n]: the epoch of that vote.                   master->leader_epoch
    attempt,    \* attempt[n]: "none", "counting" votes, or "won".       master->failover_state, SRI_FAILOVER_IN_PROGRESS
    tried,      \* tried[n]: the epoch of n's last attempt, 0 = never.   master->failover_epoch
    recent,     \* recent[n]: n's last attempt, or vote for another,     master->failover_start_time
                \*   was not long ago.
    heard,      \* heard[n][p]: what n remembers of p's vote.            ri->leader, ri->leader_epoch
    cast        \* cast[n][e]: whom n ever voted for in epoch e.  sentinel.c has no such thing: it is the network,
                \*   which may deliver any of these, and the witness of OneVotePerEpoch.

vars == <<epoch, votedFor, votedIn, attempt, tried, recent, heard, cast>>

TypeOK ==
    /\ epoch \in [Sentinel -> Epoch]
    /\ votedFor \in [Sentinel -> Sentinel \cup {None}]
    /\ votedIn \in [Sentinel -> Epoch]
    /\ attempt \in [Sentinel -> {"none", "counting", "won"}]
    /\ tried \in [Sentinel -> Epoch]
    /\ recent \in [Sentinel -> BOOLEAN]
    /\ heard \in [Sentinel -> [Sentinel -> [who : Sentinel \cup {None}, epoch : Epoch]]]
    /\ cast \in [Sentinel -> [1..MaxEpoch -> SUBSET Sentinel]]

Init ==
    /\ epoch = [n \in Sentinel |-> 0]
    /\ votedFor = [n \in Sentinel |-> None]
    /\ votedIn = [n \in Sentinel |-> 0]
    /\ attempt = [n \in Sentinel |-> "none"]
    /\ tried = [n \in Sentinel |-> 0]
    /\ recent = [n \in Sentinel |-> FALSE]
    /\ heard = [n \in Sentinel |-> [p \in Sentinel |-> Nobody]]
    /\ cast = [n \in Sentinel |-> [e \in 1..MaxEpoch |-> {}]]

-----------------------------------------------------------------------------
(***************************************************************************)
(* Voting: sentinelVoteLeader, 4635-4659.                                  *)
(*                                                                         *)
(* Asked in epoch e, a sentinel that has reached epoch c votes if it has   *)
(* not voted in e or later, and has not gone beyond e.  (sentinel.c adopts *)
(* e first if it is newer; so the vote is always of epoch e.)  The voter   *)
(* looks neither at the primary nor at its own attempt.                    *)
(***************************************************************************)
Votes(n, e, c) == votedIn[n] < e /\ c <= e

Max(a, b) == IF a > b THEN a ELSE b

CastVote(n, e, candidate) ==
    /\ votedFor' = [votedFor EXCEPT ![n] = candidate]
    /\ votedIn' = [votedIn EXCEPT ![n] = e]
    /\ cast' = [cast EXCEPT ![n][e] = @ \cup {candidate}]

CastNone == UNCHANGED <<votedFor, votedIn, cast>>

(***************************************************************************)
(* Counting: sentinelGetLeader, 4691-4756, for a sentinel n whose current  *)
(* epoch is c.                                                             *)
(*                                                                         *)
(* Votes of others count if they are of the *current* epoch, the own vote  *)
(* if it is of the epoch of the *attempt*.  The two differ once n has      *)
(* heard of a newer epoch while its attempt goes on: that is the flaw.     *)
(***************************************************************************)
VotesOfOthers(n, c, candidate) ==
    Cardinality({p \in Sentinel \ {n} : heard[n][p] = [who |-> candidate, epoch |-> c]})

(***************************************************************************)
(* Who leads before the own vote: the last of them to be beaten by nobody, *)
(* in the order of a hash table of run ids (4721-4730), which is any.      *)
(* AnyOrder = FALSE takes the least, for comparison with a model that has  *)
(* fixed this order; Sentinel must then be numbers.                        *)
(***************************************************************************)
FrontRunners(n, c) ==
    LET votes == [m \in Sentinel |-> VotesOfOthers(n, c, m)]
        first == {m \in Sentinel : votes[m] > 0 /\ \A k \in Sentinel : votes[k] <= votes[m]}
    IN  IF AnyOrder \/ Cardinality(first) < 2
        THEN first
        ELSE {CHOOSE m \in first : \A k \in first : m <= k}

(***************************************************************************)
(* n wins the attempt of epoch f with this own vote: it has a majority of  *)
(* all sentinels, and the quorum.  Of several that would have as many      *)
(* votes none could have a majority.                                       *)
(***************************************************************************)
Wins(n, c, f, own, ownEpoch) ==
    LET votes == VotesOfOthers(n, c, n) + (IF own = n /\ ownEpoch = f THEN 1 ELSE 0)
    IN  votes >= Max(Cardinality(Sentinel) \div 2 + 1, Quorum)

-----------------------------------------------------------------------------
(***************************************************************************)
(* Start(n): a tick of sentinelHandleRedisInstance (5284-5296) in which n  *)
(* starts an attempt: sentinelStartFailoverIfNeeded (4858-4886) and        *)
(* sentinelStartFailover (4834-4845).  The same tick goes on to            *)
(* sentinelFailoverWaitStart, where n votes, for the front runner if it    *)
(* knows votes of the new epoch, else for itself; and counts.              *)
(*                                                                         *)
(* Timely is what is kept of time.  Who has voted in an epoch does not     *)
(* start the next before 2 x failover-timeout have gone by.  If every      *)
(* message arrives within failover-timeout less 1.1 s and nobody stands    *)
(* still for so long (paused, or in TILT), then by that time everybody     *)
(* has heard of that epoch, and attempts of that epoch or older are over.  *)
(***************************************************************************)
Timely(n) ==
    \A m \in Sentinel \ {n} :
        /\ epoch[m] >= votedIn[n]
        /\ attempt[m] = "counting" => tried[m] > votedIn[n]

Start(n) ==
    /\ attempt[n] = "none"
    /\ ~recent[n]
    /\ epoch[n] < MaxEpoch
    /\ IF Stalls THEN TRUE ELSE Timely(n)
    /\ LET e == epoch[n] + 1
           leading == FrontRunners(n, e)
       IN  \E candidate \in IF leading = {} THEN {n} ELSE leading :
               /\ epoch' = [epoch EXCEPT ![n] = e]
               /\ tried' = [tried EXCEPT ![n] = e]
               /\ recent' = [recent EXCEPT ![n] = TRUE]
               /\ CastVote(n, e, candidate)
               /\ attempt' = [attempt EXCEPT ![n] = IF Wins(n, e, e, candidate, e) THEN "won" ELSE "counting"]
    /\ UNCHANGED heard

(***************************************************************************)
(* Count(n): a later tick; sentinelFailoverWaitStart (4994-5025).  n wins, *)
(* or gives up when its attempt has lasted too long (sentinelAbortFailover *)
(* 5246-5257), or goes on.  It has voted in the attempt's epoch or a later *)
(* one by now, and so votes no more.                                       *)
(***************************************************************************)
Count(n) ==
    /\ attempt[n] = "counting"
    /\ attempt' = [attempt EXCEPT ![n] =
           CASE Wins(n, epoch[n], tried[n], votedFor[n], votedIn[n]) -> "won"
             [] OTHER -> IF recent[n] THEN "counting" ELSE "none"]
    /\ UNCHANGED <<epoch, votedFor, votedIn, tried, recent, heard, cast>>

(***************************************************************************)
(* Ask(n, p, e): SENTINEL is-master-down-by-addr of p, which asks for a    *)
(* vote in epoch e, reaches n: sent at 4609-4616, answered at 3848-3894.   *)
(* Who votes for another puts off its own next attempt (4653-4654).  The   *)
(* answer is Learn.                                                        *)
(***************************************************************************)
Ask(n, p, e) ==
    /\ tried[p] > 0
    /\ e <= epoch[p]
    /\ LET c == Max(epoch[n], e)
       IN  /\ epoch' = [epoch EXCEPT ![n] = c]
           /\ IF Votes(n, e, c)
              THEN CastVote(n, e, p) /\ recent' = [recent EXCEPT ![n] = TRUE]
              ELSE CastNone /\ UNCHANGED recent
    /\ UNCHANGED <<attempt, tried, heard>>

(***************************************************************************)
(* Learn(n, p, e): an answer of p reaches n and carries p's vote of epoch  *)
(* e: sentinelReceiveIsMasterDownReply, 4534-4568.  It is remembered even  *)
(* if it is older than what n remembers.                                   *)
(***************************************************************************)
Learn(n, p, e) ==
    /\ \E candidate \in cast[p][e] : heard' = [heard EXCEPT ![n][p] = [who |-> candidate, epoch |-> e]]
    /\ UNCHANGED <<epoch, votedFor, votedIn, attempt, tried, recent, cast>>

(***************************************************************************)
(* Hello(n, p, e): a hello of p, from when p was in epoch e, reaches n:    *)
(* sentinelProcessHelloMessage, 2933-2939.                                 *)
(***************************************************************************)
Hello(n, p, e) ==
    /\ e \in epoch[n] + 1 .. epoch[p]
    /\ epoch' = [epoch EXCEPT ![n] = e]
    /\ UNCHANGED <<votedFor, votedIn, attempt, tried, recent, heard, cast>>

(***************************************************************************)
(* Wait(n): time goes by, until n's attempt has lasted too long, and the   *)
(* next may start.  (sentinel.c has two limits, failover-timeout, at most  *)
(* 10 s, and 2 x failover-timeout.  Nothing distinguishes them here, for   *)
(* the second matters only after the first has.)                           *)
(***************************************************************************)
Wait(n) ==
    /\ attempt[n] # "won"
    /\ recent[n]
    /\ recent' = [recent EXCEPT ![n] = FALSE]
    /\ UNCHANGED <<epoch, votedFor, votedIn, attempt, tried, heard, cast>>

(***************************************************************************)
(* Forget(n, p): p has not answered n for 5 s, and its vote is dropped:    *)
(* sentinelAskMasterStateToOtherSentinels, 4588-4592.  The epoch of the    *)
(* vote stays, as it does there; without a vote nobody reads it.           *)
(***************************************************************************)
Forget(n, p) ==
    /\ attempt[n] # "won"
    /\ heard[n][p].who # None
    /\ heard' = [heard EXCEPT ![n][p].who = None]
    /\ UNCHANGED <<epoch, votedFor, votedIn, attempt, tried, recent, cast>>

Next ==
    \E n \in Sentinel :
        \/ Start(n)
        \/ Count(n)
        \/ Wait(n)
        \/ \E p \in Sentinel \ {n} :
               \/ Forget(n, p)
               \/ \E e \in 1..MaxEpoch : Hello(n, p, e) \/ Ask(n, p, e) \/ Learn(n, p, e)

Spec == Init /\ [][Next]_vars

-----------------------------------------------------------------------------
(***************************************************************************)
(* What Redis promises ("configuration epochs" in its documentation).      *)
(***************************************************************************)
OneVotePerEpoch == \A n \in Sentinel, e \in 1..MaxEpoch : Cardinality(cast[n][e]) <= 1

OneLeaderPerEpoch ==
    \A n, m \in Sentinel : n # m /\ attempt[n] = "won" /\ attempt[m] = "won" => tried[n] # tried[m]

(***************************************************************************)
(* What must be possible, lest the promises be empty.  These are negated:  *)
(* a counterexample is the shortest way to what should be possible.        *)
(***************************************************************************)
NobodyIsElected == \A n \in Sentinel : attempt[n] # "won"

NoAttemptFails == \A n \in Sentinel : attempt[n] = "none" => tried[n] = 0

(***************************************************************************)
(* The sentinels are alike, if AnyOrder.                                   *)
(***************************************************************************)
Symmetry == Permutations(Sentinel)
=============================================================================
