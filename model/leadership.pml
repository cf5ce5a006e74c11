/*
 * One shard on three nodes: lease, fence, election, election of the void, transfer, growth and shrinkage of IN_SYNC, replication.
 * Rules L1, L3, L4 are those of lease.pml; here stands what they guarantee (CLOCK: a node that believes in its lease is not fenced).
 *
 * Conditions on the generation: a conditional write that names an older generation has no effect, so `changed()` forgets what is on its
 * way to the store; no counter is needed. A request to a follower acts when it arrives: one that is late is covered, since it reads the
 * follower's state alone. An answer that is late is covered by a leader that acts on it late. -DNO_x removes the guard x.
 *
 * Faults: pause (a process takes no step), crash and restart, loss, repetition and delay of every message, a fence at any moment (with
 * CLOCK: of nodes without a lease), with WIPES a directory that is lost, or with ROLLBACK too
 * one that is an old copy.
 */
#ifndef EPOCHS
#define EPOCHS 3            /* epochs of the shard: 1 .. EPOCHS */
#endif
#ifndef NODE_EPOCHS
#define NODE_EPOCHS 2       /* node epochs of each node: 1 .. NODE_EPOCHS */
#endif
#ifndef WRITES
#define WRITES 2            /* client writes */
#endif
#ifndef WIPES
#define WIPES 0             /* directories lost, all nodes together */
#endif
#define N 3
#define MIN 2               /* min_in_sync */
#define LOG (WRITES + EPOCHS - 1)

#define BIT(n) (1 << (n))
#define IN(set, n) (((set) >> (n)) & 1)
#define CARD(set) (((set) & 1) + (((set) >> 1) & 1) + (((set) >> 2) & 1))
#define AT(n, i) log[(n) * LOG + (i)]
#define LINK(n, m) ((n) * N + (m))
#define CHECK(invariant, holds) if :: (holds) :: else -> printf("BROKEN %e\n", invariant); assert(false) fi

#ifdef BREADTH
#define SCRATCH             /* a search by breadth knows no hidden variables */
#else
#define SCRATCH hidden
#endif
mtype = { I3, I4, I5, I6, I7, R6 };

/* --- The store. */
byte ne[N] = 1;             /* Liveness: node epoch */
bit held[N] = 1;            /* an incarnation holds it */
byte dE = 1; byte dL = 0; byte dLne = 1;      /* descriptor: epoch, leader, leader_node_epoch */
byte dIn = 7;               /* IN_SYNC list */
byte ine[N] = 1;            /* node epoch in the IN_SYNC entry */
bit iuu[N];                 /* store_uuid in the entry */
byte dInt;                  /* transfer intended to dInt - 1 */
/* On its way to the store, under the present generation. */
byte pq[N];                 /* proposal to list the replica under session pq/2 of directory pq%2 */
byte elc;                   /* leader change: candidate elc - 1, under node epoch eln */
byte eln; bit elv;          /* elv: election of the void */
#ifdef NO_E1_ORDER
byte early;                 /* candidate chosen before the fence */
#endif

/* --- A node's disk. */
bit has[N] = 1;             /* holds a copy */
bit uu[N];                  /* store_uuid of the directory */
byte mx[N] = 1;             /* promised epoch */
byte rec[N];                /* receipt: bars leading up to this epoch */
byte size[N];
byte log[N * LOG];          /* epoch of the entry; the write id above it */

/* --- A node's memory. */
byte nne[N] = 1;            /* registered under; 0: no process */
byte fs[N];                 /* as follower: epoch of the session */
byte lead[N];               /* as leader: epoch; 0: none */
bit srv[N];                 /* its no-op is committed */
bit fresh[N];               /* knows the descriptor's present generation */
byte nz[N]; byte cm[N];     /* place of the no-op; committed length */
byte ack[N]; byte kin[N]; byte pend[N];       /* other members of the ack set; listed as far as known; proposed with outcome unknown */
byte ses[N * N]; byte mt[N * N];              /* session (node epoch * 2 + directory), matched length */
#ifdef CLOCK
bit lease[N] = 1;
#endif
#ifdef READS
byte rq[N]; byte rc[N];     /* E5: 1 + what was acknowledged when the read arrived; who has confirmed since */
#endif
#ifdef NO_R5_ORDER
bit checked[N];
#endif

/* --- Watched only. */
byte gl; byte acked[LOG];   /* acknowledged, in the order of the log */
byte wr;                    /* writes begun */
byte wiped;
byte ledBy[EPOCHS + 1];     /* 1 + who led the epoch */
SCRATCH byte i; SCRATCH byte k; SCRATCH byte j;

#define LAST(n) (size[n] == 0 -> 0 : AT(n, size[n] - 1) % 16)
#define REGISTERED(n) (nne[n] != 0 && nne[n] == ne[n])
#define VALID(m) (ine[m] == ne[m] && held[m])
#define OPEN(n, m) (lead[n] != 0 && has[m] && nne[m] != 0 && fs[m] == lead[n] && ses[LINK(n, m)] == nne[m] * 2 + uu[m])
#ifdef NO_R5_PROMISE
#define ACCEPTS(m, e) 1
#else
#define ACCEPTS(m, e) (mx[m] <= (e))
#endif

/* The generation rose. */
inline changed() {
  fresh[0] = 0; fresh[1] = 0; fresh[2] = 0;
#ifndef NO_GENERATION
  pq[0] = 0; pq[1] = 0; pq[2] = 0; elc = 0; eln = 0; elv = 0;
#endif
  CHECK(I7, CARD(dIn) >= MIN)
}

inline endTerm(n) {
  lead[n] = 0; srv[n] = 0; fresh[n] = 0; nz[n] = 0; cm[n] = 0; ack[n] = 0; kin[n] = 0; pend[n] = 0;
  for (i : 0 .. N - 1) { ses[LINK(n, i)] = 0; mt[LINK(n, i)] = 0 };
#ifdef READS
  rq[n] = 0; rc[n] = 0;
#endif
#ifdef NO_R5_ORDER
  checked[n] = 0;
#endif
  skip
}

/* Everything up to `upto` in n's log was acknowledged or shown to a client: it must stay (I-6). */
inline witness(n, upto) {
  for (i : 0 .. LOG - 1) {
    if
    :: i < upto && i < gl -> CHECK(I6, acked[i] == AT(n, i))
    :: i < upto && i >= gl ->
       acked[i] = AT(n, i);
#ifdef RETRIES
       for (j : 0 .. LOG - 1) { if :: j < i && acked[j] / 16 != 0 -> CHECK(R6, acked[j] / 16 != acked[i] / 16) :: else fi }
#endif
    :: else
    fi
  }
  if :: upto > gl -> gl = upto :: else fi;
  /* I-5: no write of an epoch is newly acknowledged once a later leader is without it. */
  for (j : 0 .. N - 1) {
    if
    :: lead[j] > lead[n] ->
       CHECK(I6, size[j] >= upto);
       for (i : 0 .. LOG - 1) { if :: i < upto -> CHECK(I6, AT(j, i) == AT(n, i)) :: else fi }
    :: else
    fi
  };
  skip
}

inline crash(n) {
  endTerm(n); fs[n] = 0; nne[n] = 0;
#ifdef CLOCK
  lease[n] = 0;
#endif
}

/* --- Leases and fences (lease.pml). */
#ifdef CLOCK
#define MAY_FENCE(n) (!(lease[n] && nne[n] == ne[n]))
#else
#define MAY_FENCE(n) 1
#endif
#define LIVENESS(n) \
  :: d_step { held[n] && ne[n] < NODE_EPOCHS && MAY_FENCE(n) -> printf("MSC: fence %d\n", n); ne[n]++; held[n] = 0 } \
  :: d_step { !held[n] -> printf("MSC: register %d\n", n); crash(n); nne[n] = ne[n]; held[n] = 1; RENEWED(n) } \
  :: d_step { nne[n] != 0 -> printf("MSC: crash %d\n", n); crash(n) }
#ifdef CLOCK
#define RENEWED(n) lease[n] = 1
#define LEASE(n) \
  :: d_step { lease[n] -> printf("MSC: lease of %d ends\n", n); lease[n] = 0 } \
  :: d_step { !lease[n] && REGISTERED(n) && held[n] -> printf("MSC: %d renews\n", n); lease[n] = 1 }
#else
#define RENEWED(n) skip
#define LEASE(n)
#endif

/* --- A directory is lost; the node gets an empty copy once its entry can't be elected. */
#ifdef NO_BIRTH_PROMISE
#define BIRTH 0
#else
#define BIRTH dE
#endif
#if WIPES > 0
#ifdef ROLLBACK
/* has: knows the descriptor that it was to learn before it takes part again. */
#define WIPE(n) \
  :: d_step { nne[n] != 0 && wiped < WIPES -> printf("MSC: directory %d rolled back to the beginning\n", n); \
     crash(n); wiped++; uu[n] = 1 - uu[n]; has[n] = HAS_OLD; mx[n] = 1; rec[n] = 0; size[n] = 0; for (i : 0 .. LOG - 1) { AT(n, i) = 0 }; skip } \
  :: d_step { !has[n] && REGISTERED(n) -> printf("MSC: %d reads the descriptor\n", n); has[n] = 1; mx[n] = dE }
#ifdef NO_BIRTH_PROMISE
#define HAS_OLD 1
#else
#define HAS_OLD 0
#endif
#else
#define WIPE(n) \
  :: d_step { nne[n] != 0 && wiped < WIPES -> printf("MSC: directory %d lost\n", n); \
     crash(n); wiped++; uu[n] = 1 - uu[n]; has[n] = 0; mx[n] = 0; rec[n] = 0; size[n] = 0; for (i : 0 .. LOG - 1) { AT(n, i) = 0 }; skip } \
  :: d_step { !has[n] && REGISTERED(n) && dL != n && (RECREATE_ELECTABLE || !IN(dIn, n) || ine[n] < nne[n]) -> printf("MSC: empty copy on %d\n", n); \
     has[n] = 1; mx[n] = BIRTH }
#endif
#else
#define WIPE(n)
#endif
#ifdef NO_ADR3_ELECTABLE
#define RECREATE_ELECTABLE 1
#else
#define RECREATE_ELECTABLE 0
#endif

/* --- Leader changes. Read first, committed under the same generation later. */
#ifdef NO_E1_FENCE
#define LEADER_FENCED 1
#else
#define LEADER_FENCED (ne[dL] > dLne)
#endif
#ifdef NO_E1_LISTED
#define LISTED(c) 1
#else
#define LISTED(c) IN(dIn, c)
#endif
#ifdef NO_E1_ENTRY
#define ELECTABLE(c) (LISTED(c) && held[c])
#define GRANTED(c) ne[c]
#else
#define ELECTABLE(c) (LISTED(c) && VALID(c))
#define GRANTED(c) ine[c]
#endif
#ifdef NO_E1_COPY
#define COPIED(c) ne[c]
#else
#define COPIED(c) eln
#endif
#ifdef NO_E4_UUID
#define PROVES(c) REGISTERED(c)
#else
#define PROVES(c) (REGISTERED(c) && has[c] && uu[c] == iuu[c])
#endif
#define VOID(m) (!IN(dIn, m) || ine[m] < ne[m])
#ifdef NO_E4_ALL
#define ALL_VOID 1
#else
#define ALL_VOID (VOID(0) && VOID(1) && VOID(2))
#endif
#define ELECTION(c) \
  :: d_step { elc == 0 && dE < EPOCHS && LEADER_FENCED && ELECTABLE(c) -> printf("MSC: candidate %d\n", c); elc = c + 1; eln = GRANTED(c) } \
  :: d_step { elc == 0 && dE < EPOCHS && LEADER_FENCED && ALL_VOID && IN(dIn, c) && held[c] && PROVES(c) -> \
     printf("MSC: candidate %d of the void\n", c); elc = c + 1; eln = ne[c]; elv = 1 } \
  :: d_step { elc == c + 1 && dE < EPOCHS -> printf("MSC: %d leads epoch %d\n", c, dE + 1); \
     dE++; dL = c; dLne = COPIED(c); if :: elv -> ine[c] = eln; iuu[c] = uu[c] :: else fi; dInt = 0; changed(); elc = 0; eln = 0; elv = 0 }

#ifdef TRANSFERS
#if defined(NO_E2_RECEIPT)
#define RECEIPT 1
#elif defined(NO_E2_EPOCH)
#define RECEIPT (rec[dL] != 0)
#else
#define RECEIPT (rec[dL] == dE)
#endif
#ifdef NO_E2_END
#define TERM_ENDS(n) skip
#else
#define TERM_ENDS(n) endTerm(n)
#endif
#define TRANSFER(c) \
  :: d_step { dInt == 0 && c != dL && ELECTABLE(c) && dE < EPOCHS -> printf("MSC: intent to %d\n", c); dInt = c + 1; changed() } \
  :: d_step { dL == c && nne[c] == dLne && has[c] && mx[c] <= dE && rec[c] < dE -> printf("MSC: %d gives its receipt of %d\n", c, dE); \
     rec[c] = dE; mx[c] = dE; TERM_ENDS(c) } \
  :: d_step { dInt != 0 && elc == 0 && dE < EPOCHS && RECEIPT && ELECTABLE(c) -> printf("MSC: transfer to %d\n", c); elc = c + 1; eln = GRANTED(c) }
#else
#define TRANSFER(c)
#endif

/* --- IN_SYNC in the store. */
#ifdef NO_R1_FLOOR
#define FLOOR 1
#else
#define FLOOR MIN
#endif
#ifdef NO_R2_SESSION
#define SESSION_OF(m) ne[m] * 2 + uu[m]
#else
#define SESSION_OF(m) pq[m]
#endif
#define LIST(m) \
  :: d_step { IN(dIn, m) && m != dL && CARD(dIn) > FLOOR -> printf("MSC: %d leaves IN_SYNC\n", m); dIn = dIn & ~BIT(m); changed() } \
  :: d_step { pq[m] != 0 -> k = SESSION_OF(m); printf("MSC: %d joins IN_SYNC under %d\n", m, k / 2); \
     dIn = dIn | BIT(m); ine[m] = k / 2; iuu[m] = k % 2; changed(); pq[m] = 0 }

/* --- A leader's term. */
#ifdef NO_E1_IGNORE
#define NAMED(n) (nne[n] != 0)
#else
#define NAMED(n) (nne[n] == dLne)
#endif
#ifdef NO_E2_BAR
#define BARRED(n) 0
#else
#define BARRED(n) (rec[n] >= dE)
#endif
#ifdef NO_R5_NOOP
#define BEGIN(n) srv[n] = 1; cm[n] = size[n]; witness(n, cm[n])
#else
#define BEGIN(n) skip
#endif
#define TERM(n) \
  :: d_step { dL == n && NAMED(n) && nne[n] != 0 && has[n] && lead[n] == 0 && ACCEPTS(n, dE) && LAST(n) < dE && !BARRED(n) && size[n] < LOG -> \
     printf("MSC: %d takes up epoch %d\n", n, dE); endTerm(n); fs[n] = 0; mx[n] = dE; AT(n, size[n]) = dE; size[n] = size[n] + 1; \
     lead[n] = dE; nz[n] = size[n]; kin[n] = dIn; ack[n] = dIn & ~BIT(n); fresh[n] = 1; \
     CHECK(I3, ledBy[dE] == 0 || ledBy[dE] == n + 1); ledBy[dE] = n + 1; \
     CHECK(I6, size[n] > gl); for (i : 0 .. LOG - 1) { if :: i < gl -> CHECK(I6, AT(n, i) == acked[i]) :: else fi }; BEGIN(n); skip } \
  :: d_step { lead[n] != 0 && lead[n] == dE && !fresh[n] -> printf("MSC: %d learns the descriptor\n", n); \
     fresh[n] = 1; kin[n] = dIn; pend[n] = 0; ack[n] = (ack[n] | dIn) & ~BIT(n) } \
  :: d_step { lead[n] != 0 && dE > lead[n] -> printf("MSC: %d hears of epoch %d\n", n, dE); endTerm(n); LEARNED(n) } \
  :: d_step { srv[n] && size[n] < LOG && wr < WRITES -> wr++; printf("MSC: write %d at %d\n", wr, n); \
     AT(n, size[n]) = lead[n] + 16 * wr; size[n] = size[n] + 1 } \
  :: d_step { lead[n] != 0 && CARD(ack[n]) + 1 >= MIN && MATCHED(n) > cm[n] && MATCHED(n) >= NOOP(n) -> \
     cm[n] = MATCHED(n); srv[n] = 1; printf("MSC: %d commits up to %d\n", n, cm[n]); witness(n, cm[n]) } \
  RETRY(n) READ(n)
#define LEARNED(n) if :: mx[n] < dE -> mx[n] = dE :: else fi
#define MATCH(n, m) (IN(ack[n], m) -> mt[LINK(n, m)] : LOG)
#define LEAST(a, b) ((a) < (b) -> (a) : (b))
#define MATCHED(n) LEAST(size[n], LEAST(MATCH(n, 0), LEAST(MATCH(n, 1), MATCH(n, 2))))
#ifdef NO_R5_OWN
#define NOOP(n) 1
#else
#define NOOP(n) nz[n]
#endif

/* A client repeats its first write at whoever leads (R6). */
#ifdef RETRIES
#ifdef NO_R6
#define KNOWN(n) 0
#else
#define FIRST_AT(n, i) ((i) < LOG && AT(n, ((i) < LOG -> (i) : 0)) / 16 == 1)
#define KNOWN(n) (FIRST_AT(n, 0) || FIRST_AT(n, 1) || FIRST_AT(n, 2) || FIRST_AT(n, 3))
#endif
#define RETRY(n) \
  :: d_step { srv[n] && wr > 0 && size[n] < LOG && !KNOWN(n) -> printf("MSC: write 1 again at %d\n", n); \
     AT(n, size[n]) = lead[n] + 16; size[n] = size[n] + 1 }
#else
#define RETRY(n)
#endif

/* Reads (R5, E5). Under a lease: what was acknowledged is seen. Without one: what was acknowledged when the read arrived. */
#ifdef NO_R5_COMMITTED
#define SEEN(n) size[n]
#else
#define SEEN(n) cm[n]
#endif
#if defined(CLOCK) && defined(NO_R5_ORDER)
#define LEASE_READ(n) \
  :: d_step { srv[n] && lease[n] && !checked[n] -> printf("MSC: %d checks its lease\n", n); checked[n] = 1 } \
  :: d_step { srv[n] && checked[n] -> checked[n] = 0; printf("MSC: read under a lease at %d\n", n); CHECK(I4, SEEN(n) >= gl); witness(n, SEEN(n)) }
#elif defined(CLOCK) && defined(NO_L3)
#define LEASE_READ(n) :: d_step { srv[n] -> printf("MSC: read at %d\n", n); CHECK(I4, SEEN(n) >= gl); witness(n, SEEN(n)) }
#elif defined(CLOCK)
#define LEASE_READ(n) :: d_step { srv[n] && lease[n] -> printf("MSC: read under a lease at %d\n", n); CHECK(I4, SEEN(n) >= gl); witness(n, SEEN(n)) }
#else
#define LEASE_READ(n)
#endif
#ifdef READS
#ifdef NO_E5_EVERY
#define CONFIRMED(n) (CARD(rc[n]) + 2 >= MIN + 1)
#elif defined(NO_E5_ROUND)
#define CONFIRMED(n) 1
#else
#define CONFIRMED(n) ((ack[n] & ~rc[n]) == 0)
#endif
#ifdef NO_E5_AFTER
#define MAY_CONFIRM(n) 1
#define ROUND_BEGINS(n) skip
#else
#define MAY_CONFIRM(n) (rq[n] != 0)
#define ROUND_BEGINS(n) rc[n] = 0
#endif
#define READ(n) LEASE_READ(n) \
  :: d_step { srv[n] && rq[n] == 0 -> printf("MSC: read arrives at %d\n", n); rq[n] = gl + 1; ROUND_BEGINS(n) } \
  :: d_step { rq[n] != 0 && CONFIRMED(n) && CARD(ack[n]) + 1 >= MIN -> printf("MSC: read without a lease at %d\n", n); \
     CHECK(I4, SEEN(n) >= rq[n] - 1); witness(n, SEEN(n)); rq[n] = 0; ROUND_BEGINS(n) }
#define CONFIRM(n, m) \
  :: d_step { MAY_CONFIRM(n) && !IN(rc[n], m) && OPEN(n, m) && ACCEPTS(m, lead[n]) -> printf("MSC: %d confirms %d\n", m, n); rc[n] = rc[n] | BIT(m) }
#else
#define READ(n) LEASE_READ(n)
#define CONFIRM(n, m)
#endif

/* --- Replication of n to m. */
#ifdef NO_R5_TRUNCATE
#define EQUALISE(n, m) \
  for (i : 0 .. LOG - 1) { if :: i >= size[m] && i < size[n] -> AT(m, i) = AT(n, i) :: else fi }; if :: size[m] < size[n] -> size[m] = size[n] :: else fi
#else
#define EQUALISE(n, m) \
  k = size[m]; for (i : 0 .. LOG - 1) { if :: i < size[n] && i < k && AT(m, i) != AT(n, i) -> k = i :: else fi }; \
  if :: k < size[n] -> k = size[n] :: else fi; \
  for (i : 0 .. LOG - 1) { if :: i < size[n] -> AT(m, i) = AT(n, i) :: i >= k -> AT(m, i) = 0 :: else fi }; size[m] = k
#endif
/* R5: what a follower has acknowledged is what the leader sent. */
#define SAME_LOG(n, m) for (i : 0 .. LOG - 1) { if :: i < size[n] -> CHECK(I6, AT(m, i) == AT(n, i)) :: else fi }; skip
#ifdef NO_R2_REQUIRE
#define REQUIRED(n, m) 1
#define TO_REQUIRE(n, m) 0
#else
#define REQUIRED(n, m) IN(ack[n], m)
#define TO_REQUIRE(n, m) (!IN(ack[n], m) && ses[LINK(n, m)] != 0)
#endif
#ifdef NO_R2_WHOLE
#define WHOLE(n, m) 1
#else
#define WHOLE(n, m) (mt[LINK(n, m)] >= nz[n] && mt[LINK(n, m)] >= cm[n])
#endif
#if defined(NO_R1_DROP)
#define MAY_DROP(n, m) 1
#elif defined(NO_R1_FENCE)
#define MAY_DROP(n, m) ((!IN(kin[n], m) && !IN(pend[n], m)) || ine[m] < ne[m])
#elif defined(NO_R2_UNKNOWN)
#define MAY_DROP(n, m) (!IN(kin[n], m))
#else
#define MAY_DROP(n, m) (!IN(kin[n], m) && !IN(pend[n], m))
#endif
#define REPLICATION(n, m) \
  :: d_step { lead[n] != 0 && nne[m] != 0 && has[m] && ACCEPTS(m, lead[n]) && lead[m] < lead[n] && !OPEN(n, m) -> \
     printf("MSC: %d opens a session with %d\n", n, m); if :: lead[m] != 0 -> endTerm(m) :: else fi; DEFINITION_I5(n, m); \
     mx[m] = lead[n]; fs[m] = lead[n]; ses[LINK(n, m)] = nne[m] * 2 + uu[m]; mt[LINK(n, m)] = 0 } \
  :: d_step { OPEN(n, m) && ACCEPTS(m, lead[n]) && mt[LINK(n, m)] < size[n] -> printf("MSC: %d sends its log to %d\n", n, m); \
     DEFINITION_I5(n, m); EQUALISE(n, m); mt[LINK(n, m)] = size[n]; SAME_LOG(n, m) } \
  :: d_step { lead[n] != 0 && TO_REQUIRE(n, m) -> printf("MSC: %d requires %d\n", n, m); ack[n] = ack[n] | BIT(m) } \
  :: d_step { lead[n] != 0 && fresh[n] && lead[n] == dE && ses[LINK(n, m)] != 0 && pq[m] != ses[LINK(n, m)] && REQUIRED(n, m) && WHOLE(n, m) && \
     (!IN(dIn, m) || ine[m] < ses[LINK(n, m)] / 2) -> \
     printf("MSC: %d proposes %d under %d\n", n, m, ses[LINK(n, m)] / 2); pq[m] = ses[LINK(n, m)]; pend[n] = pend[n] | BIT(m) } \
  :: d_step { lead[n] != 0 && IN(ack[n], m) && MAY_DROP(n, m) -> printf("MSC: %d requires %d no longer\n", n, m); ack[n] = ack[n] & ~BIT(m) } \
  CONFIRM(n, m)
#ifdef DEEP
#define DEFINITION_I5(n, m) skip
#else
#define DEFINITION_I5(n, m) CHECK(I5, mx[m] <= lead[n])
#endif

active proctype cluster() {
  /* At first node 0 leads epoch 1 with an empty log. */
  d_step { lead[0] = 1; srv[0] = 1; fresh[0] = 1; kin[0] = 7; ack[0] = 6; ledBy[1] = 1 };
  do
  LIVENESS(0) LIVENESS(1) LIVENESS(2)
  LEASE(0) LEASE(1) LEASE(2)
  WIPE(0) WIPE(1) WIPE(2)
  ELECTION(0) ELECTION(1) ELECTION(2)
  TRANSFER(0) TRANSFER(1) TRANSFER(2)
  LIST(0) LIST(1) LIST(2)
  TERM(0) TERM(1) TERM(2)
  REPLICATION(0, 1) REPLICATION(0, 2) REPLICATION(1, 0) REPLICATION(1, 2) REPLICATION(2, 0) REPLICATION(2, 1)
  od
}
