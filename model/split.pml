/*
 * A split and what follows it: a parent P that its leader serves as a whole until it learns of the split, a child C with the right part, its transfer
 * and its election (S1, ADR 10, E2). Only writes to the right part are modelled: the left one does not notice. Growth of IN_SYNC
 * is that of leadership.pml and left out; the child's list may lose a member.
 *
 * A copy forks in one step: the child's log goes on with the parent's. Leases: a node that believes in its lease is not fenced (lease.pml).
 * Faults: pause, crash and restart, loss, repetition and delay of every message, fences.
 */
#ifndef EPOCHS
#define EPOCHS 3            /* epochs of P: 1; of C: 2 .. EPOCHS */
#endif
#ifndef WRITES
#define WRITES 2
#endif
#ifndef FENCES
#define FENCES 3            /* nodes that are fenced, all together */
#endif
#define N 3
#define MIN 2
#define LOG (WRITES + EPOCHS)
#define P 0
#define C 1
#define BIT(n) (1 << (n))
#define IN(set, n) (((set) >> (n)) & 1)
#define CARD(set) (((set) & 1) + (((set) >> 1) & 1) + (((set) >> 2) & 1))
#define OF(s, n) ((s) * N + (n))
#define AT(s, n, i) log[OF(s, n) * LOG + (i)]
#define LINK(s, n, m) (OF(s, n) * N + (m))
#define CHECK(invariant, holds) if :: (holds) :: else -> printf("BROKEN %e\n", invariant); assert(false) fi
#ifdef BREADTH
#define SCRATCH             /* a search by breadth knows no hidden variables */
#else
#define SCRATCH hidden
#endif
mtype = { I3, I4, I6 };

/* The store. phase 0: active, 1: SPLITTING, 2: committed. Node epochs are 1, and 2 after the fence; entries carry 1. */
byte phase; byte prepared;
bit fenced[N];
byte cE; byte cL; byte cIn; byte cInt;        /* the child's descriptor */
byte elc;                                     /* leader change of C on its way: 1 + candidate */

/* Nodes. registered: 1 under node epoch 1, 2 under 2, 0: no process. */
byte registered[N] = 1;
bit lease[N] = 1;
bit knows[N]; bit forked[N]; bit gone[N];     /* intent durable; forked; gave the right part up */
byte rec[N];                                  /* receipt for C */
/* By shard and node. */
byte mx[2 * N]; byte size[2 * N]; byte log[2 * N * LOG];
byte lead[2 * N]; bit srv[2 * N]; byte nz[2 * N]; byte cm[2 * N]; byte ack[2 * N];
byte fs[2 * N]; byte ses[2 * N * N]; byte mt[2 * N * N];
#ifdef NO_S1_HEIRS
byte inFlight[N]; byte parted[N];             /* end of the log at the fork; followers whose left part has taken it */
#endif

byte gl; byte acked[LOG]; byte wr; byte ledBy[EPOCHS + 1];
SCRATCH byte i; SCRATCH byte k; SCRATCH byte j;

#define LAST(s, n) (size[OF(s, n)] == 0 -> 0 : AT(s, n, size[OF(s, n)] - 1))

inline endTerm(s, n) {
  lead[OF(s, n)] = 0; srv[OF(s, n)] = 0; nz[OF(s, n)] = 0; cm[OF(s, n)] = 0; ack[OF(s, n)] = 0;
  for (i : 0 .. N - 1) { ses[LINK(s, n, i)] = 0; mt[LINK(s, n, i)] = 0 };
  skip
}
inline endSession(s, n) { fs[OF(s, n)] = 0 }

inline witness(s, n, upto) {
  for (i : 0 .. LOG - 1) {
    if
    :: i < upto && i < gl -> CHECK(I6, acked[i] == AT(s, n, i))
    :: i < upto && i >= gl -> acked[i] = AT(s, n, i)
    :: else
    fi
  };
  if :: upto > gl -> gl = upto :: else fi;
  for (j : 0 .. N - 1) {
    if
    :: lead[OF(C, j)] > lead[OF(s, n)] ->
       CHECK(I6, size[OF(C, j)] >= upto);
       for (i : 0 .. LOG - 1) { if :: i < upto -> CHECK(I6, AT(C, j, i) == AT(s, n, i)) :: else fi }
    :: else
    fi
  };
  skip
}

#define NODE(n) \
  :: d_step { !fenced[n] && fenced[0] + fenced[1] + fenced[2] < FENCES && !(lease[n] && registered[n] == 1) -> printf("MSC: fence %d\n", n); fenced[n] = 1 } \
  :: d_step { fenced[n] && registered[n] != 2 -> printf("MSC: register %d\n", n); endTerm(P, n); endTerm(C, n); endSession(P, n); endSession(C, n); registered[n] = 2; lease[n] = 1 } \
  :: d_step { registered[n] != 0 -> printf("MSC: crash %d\n", n); endTerm(P, n); endTerm(C, n); endSession(P, n); endSession(C, n); registered[n] = 0; lease[n] = 0 } \
  :: d_step { lease[n] -> printf("MSC: lease of %d ends\n", n); lease[n] = 0 } \
  :: d_step { !lease[n] && registered[n] != 0 && registered[n] == fenced[n] + 1 -> printf("MSC: %d renews\n", n); lease[n] = 1 }

/* --- The split. */
#ifdef NO_S1_PREPARED
#define ALL_PREPARED 1
#else
#define ALL_PREPARED (prepared == 7)
#endif
#ifdef NO_S1_EPOCH
#define CHILD_EPOCH 1
#else
#define CHILD_EPOCH 2
#endif
#ifdef NO_S1_LEADER
#define CHILD_LEADER 1
#else
#define CHILD_LEADER 0
#endif
#define SPLIT \
  :: d_step { phase == 0 -> printf("MSC: intent to split\n"); phase = 1 } \
  :: d_step { phase == 1 && ALL_PREPARED -> printf("MSC: split\n"); phase = 2; cE = CHILD_EPOCH; cL = CHILD_LEADER; cIn = 7 }
#define PREPARE(n) \
  :: d_step { phase == 1 && registered[n] == 1 && !fenced[n] && !IN(prepared, n) -> printf("MSC: %d is prepared\n", n); knows[n] = 1; prepared = prepared | BIT(n) }

/* A copy forks: at the leader the term goes on in the child (ADR 10). Sessions of the parent end with its range. */
#if defined(NO_S1_BOUNDS) || defined(NO_S1_HEIRS)
#define PARENT_ENDS(n) skip
#else
#define PARENT_ENDS(n) endTerm(P, n); size[OF(P, n)] = 0; for (i : 0 .. LOG - 1) { AT(P, n, i) = 0 }
#endif
#ifdef NO_S1_HEIRS
#define IN_FLIGHT(n) inFlight[n] = (srv[OF(P, n)] -> size[OF(P, n)] : 0)
#else
#define IN_FLIGHT(n) skip
#endif
#define GOES_ON(n) (srv[OF(P, n)] && cL == n && registered[n] == 1 && cE == lead[OF(P, n)] + 1 && size[OF(P, n)] < LOG)
#define FORK(n) \
  :: d_step { phase == 2 && !forked[n] && !gone[n] && knows[n] && registered[n] != 0 -> printf("MSC: %d forks\n", n); \
     forked[n] = 1; IN_FLIGHT(n); size[OF(C, n)] = size[OF(P, n)]; for (i : 0 .. LOG - 1) { AT(C, n, i) = AT(P, n, i) }; mx[OF(C, n)] = mx[OF(P, n)]; \
     endSession(P, n); for (i : 0 .. N - 1) { ses[LINK(P, n, i)] = 0; mt[LINK(P, n, i)] = 0 }; \
     if \
     :: GOES_ON(n) -> printf("MSC: %d goes on as leader of the child\n", n); mx[OF(C, n)] = cE; lead[OF(C, n)] = cE; srv[OF(C, n)] = 1; \
        cm[OF(C, n)] = cm[OF(P, n)]; AT(C, n, size[OF(C, n)]) = cE; size[OF(C, n)] = size[OF(C, n)] + 1; nz[OF(C, n)] = size[OF(C, n)]; ack[OF(C, n)] = cIn & ~BIT(n); \
        CHECK(I3, ledBy[cE] == 0 || ledBy[cE] == n + 1); ledBy[cE] = n + 1 \
     :: else \
     fi; PARENT_ENDS(n); skip } \
  :: d_step { phase == 2 && !forked[n] && !gone[n] && !knows[n] && registered[n] != 0 -> printf("MSC: %d gives the right part up\n", n); \
     gone[n] = 1; endTerm(P, n); endSession(P, n); CHECK(I6, !IN(cIn, n) || fenced[n]) }

/* --- Leader changes of the child. */
#define VALID(c) (IN(cIn, c) && !fenced[c])
#ifdef NO_S1_RECEIPT
#define MAY_GIVE(n) 1
#else
#define MAY_GIVE(n) forked[n]
#endif
#define CHILD_LEADERS(c) \
  :: d_step { phase == 2 && IN(cIn, c) && c != cL && CARD(cIn) > MIN -> printf("MSC: %d leaves IN_SYNC\n", c); cIn = cIn & ~BIT(c); elc = 0 } \
  :: d_step { lead[OF(C, c)] != 0 && lead[OF(C, c)] == cE && (ack[OF(C, c)] & ~cIn) != 0 -> printf("MSC: %d learns the list\n", c); ack[OF(C, c)] = ack[OF(C, c)] & cIn } \
  :: d_step { phase == 2 && elc == 0 && cE < EPOCHS && fenced[cL] && VALID(c) -> printf("MSC: candidate %d\n", c); elc = c + 1 } \
  :: d_step { phase == 2 && cInt == 0 && cE < EPOCHS && c != cL && VALID(c) -> printf("MSC: intent to %d\n", c); cInt = c + 1; elc = 0 } \
  :: d_step { phase == 2 && cL == c && registered[c] == 1 && rec[c] < cE && mx[OF(C, c)] <= cE && MAY_GIVE(c) -> \
     printf("MSC: %d gives its receipt of %d\n", c, cE); rec[c] = cE; endTerm(C, c) } \
  :: d_step { phase == 2 && cInt != 0 && elc == 0 && cE < EPOCHS && rec[cL] == cE && VALID(c) -> printf("MSC: transfer to %d\n", c); elc = c + 1 } \
  :: d_step { elc == c + 1 -> printf("MSC: %d leads epoch %d\n", c, cE + 1); cE++; \
     cL = c; cInt = 0; elc = 0 } \
  :: d_step { phase == 2 && cL == c && registered[c] == 1 && forked[c] && lead[OF(C, c)] == 0 && mx[OF(C, c)] <= cE && LAST(C, c) < cE && rec[c] < cE && size[OF(C, c)] < LOG -> \
     printf("MSC: %d takes up epoch %d\n", c, cE); endTerm(C, c); endSession(C, c); mx[OF(C, c)] = cE; \
     AT(C, c, size[OF(C, c)]) = cE; size[OF(C, c)] = size[OF(C, c)] + 1; lead[OF(C, c)] = cE; nz[OF(C, c)] = size[OF(C, c)]; ack[OF(C, c)] = cIn & ~BIT(c); \
     CHECK(I3, ledBy[cE] == 0 || ledBy[cE] == c + 1); ledBy[cE] = c + 1; \
     CHECK(I6, size[OF(C, c)] > gl); for (i : 0 .. LOG - 1) { if :: i < gl -> CHECK(I6, AT(C, c, i) == acked[i]) :: else fi }; skip } \
  :: d_step { lead[OF(C, c)] != 0 && cE > lead[OF(C, c)] -> printf("MSC: %d hears of epoch %d\n", c, cE); endTerm(C, c) }

/* --- Terms: the parent's leader serves the right part until it forks. */
#define SERVES(s, n) (srv[OF(s, n)] && (s == C || !forked[n]))
#define MATCH(s, n, m) (IN(ack[OF(s, n)], m) -> mt[LINK(s, n, m)] : LOG)
#define LEAST(a, b) ((a) < (b) -> (a) : (b))
#define MATCHED(s, n) LEAST(size[OF(s, n)], LEAST(MATCH(s, n, 0), LEAST(MATCH(s, n, 1), MATCH(s, n, 2))))
#define TERM(s, n) \
  :: d_step { SERVES(s, n) && size[OF(s, n)] < LOG && wr < WRITES -> wr++; printf("MSC: write %d at %d\n", wr, n); \
     AT(s, n, size[OF(s, n)]) = lead[OF(s, n)]; size[OF(s, n)] = size[OF(s, n)] + 1 } \
  :: d_step { lead[OF(s, n)] != 0 && (s == C || !forked[n]) && MATCHED(s, n) > cm[OF(s, n)] && MATCHED(s, n) >= nz[OF(s, n)] -> \
     cm[OF(s, n)] = MATCHED(s, n); srv[OF(s, n)] = 1; printf("MSC: %d commits up to %d\n", n, cm[OF(s, n)]); witness(s, n, cm[OF(s, n)]) } \
  :: d_step { SERVES(s, n) && lease[n] -> printf("MSC: read under a lease at %d\n", n); CHECK(I4, cm[OF(s, n)] >= gl) }

/* --- Replication. A session belongs to the range for which it was opened. */
#ifdef NO_S1_BOUNDS
#define SAME_RANGE(s, n, m) (s == C -> (forked[m] && !gone[m]) : !forked[n])
#else
#define SAME_RANGE(s, n, m) (s == C -> (forked[m] && !gone[m]) : (!forked[n] && !forked[m] && !gone[m]))
#endif
#define OPEN(s, n, m) (lead[OF(s, n)] != 0 && registered[m] != 0 && fs[OF(s, m)] == lead[OF(s, n)] && ses[LINK(s, n, m)] == registered[m])
#define REPLICATION(s, n, m) \
  :: d_step { lead[OF(s, n)] != 0 && registered[m] != 0 && SAME_RANGE(s, n, m) && mx[OF(s, m)] <= lead[OF(s, n)] && lead[OF(s, m)] < lead[OF(s, n)] && !OPEN(s, n, m) -> \
     printf("MSC: %d opens a session with %d\n", n, m); if :: lead[OF(s, m)] != 0 -> endTerm(s, m) :: else fi; \
     mx[OF(s, m)] = lead[OF(s, n)]; fs[OF(s, m)] = lead[OF(s, n)]; ses[LINK(s, n, m)] = registered[m]; mt[LINK(s, n, m)] = 0 } \
  :: d_step { OPEN(s, n, m) && SAME_RANGE(s, n, m) && mx[OF(s, m)] <= lead[OF(s, n)] && mt[LINK(s, n, m)] < size[OF(s, n)] -> printf("MSC: %d sends its log to %d\n", n, m); \
     k = size[OF(s, m)]; for (i : 0 .. LOG - 1) { if :: i < size[OF(s, n)] && i < k && AT(s, m, i) != AT(s, n, i) -> k = i :: else fi }; \
     if :: k < size[OF(s, n)] -> k = size[OF(s, n)] :: else fi; \
     for (i : 0 .. LOG - 1) { if :: i < size[OF(s, n)] -> AT(s, m, i) = AT(s, n, i) :: i >= k -> AT(s, m, i) = 0 :: else fi }; size[OF(s, m)] = k; \
     mt[LINK(s, n, m)] = size[OF(s, n)] }
#ifdef NO_S1_HEIRS
/* A follower that forked takes the left part's entry without what lies in the right one. */
#define HEIRS(n, m) \
  :: d_step { inFlight[n] != 0 && lead[OF(C, n)] != 0 && forked[m] && !IN(parted[n], m) -> printf("MSC: the left part of %d takes the entry of %d\n", m, n); parted[n] = parted[n] | BIT(m) } \
  :: d_step { inFlight[n] != 0 && lead[OF(C, n)] != 0 && CARD(parted[n]) == N - 1 -> printf("MSC: %d acknowledges what was in flight\n", n); k = inFlight[n]; inFlight[n] = 0; witness(C, n, k) }
#else
#define HEIRS(n, m)
#endif
#define LINKS(n, m) REPLICATION(P, n, m) REPLICATION(C, n, m) HEIRS(n, m)

active proctype cluster() {
  d_step { lead[0] = 1; srv[0] = 1; ack[0] = 6; mx[0] = 1; mx[1] = 1; mx[2] = 1 };
  do
  NODE(0) NODE(1) NODE(2)
  SPLIT PREPARE(0) PREPARE(1) PREPARE(2)
  FORK(0) FORK(1) FORK(2)
  CHILD_LEADERS(0) CHILD_LEADERS(1) CHILD_LEADERS(2)
  TERM(P, 0) TERM(C, 0) TERM(C, 1) TERM(C, 2)
  LINKS(0, 1) LINKS(0, 2) REPLICATION(C, 1, 0) REPLICATION(C, 1, 2) REPLICATION(C, 2, 0) REPLICATION(C, 2, 1)
  od
}
