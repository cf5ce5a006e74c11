/*
 * A merge of two neighbours A and B that one node leads (S2, ADR 11): each is sealed, one commit makes them one shard, each node joins its two
 * copies if they end where they were sealed, and leads the merged shard only then. What of a write is acknowledged in A or B must be in every leader
 * of the merged shard. Growth of IN_SYNC is that of leadership.pml and left out. To keep the search small, leaders change in A
 * alone, and IN_SYNC shrinks in B alone.
 *
 * Faults: pause, crash and restart, loss, repetition and delay of messages, fences with elections in A and B, merges given up and begun anew.
 */
#ifndef EPOCHS
#define EPOCHS 2            /* epochs of A; B has one */
#endif
#ifndef WRITES
#define WRITES 1            /* of each part */
#endif
#ifndef FENCES
#define FENCES 3            /* nodes that are fenced, all together */
#endif
#define N 3
#define MIN 2
#define LOG (WRITES + EPOCHS - 1)
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
mtype = { I3, I6 };

/* The store. Node epochs are 1, and 2 after the fence; entries carry 1, but for the merged leader's. */
bit fenced[N];
byte dE[2] = 1; byte dL[2]; byte dIn[2] = 7;
bit merged; byte mE; byte mL; byte mIn;       /* the merged descriptor */
byte endE[2]; byte endSize[2];                /* where the parts end: epoch of the last entry (0: empty) and length */
/* Receipts with a seal: epoch, last entry, length. A receipt can be used again and again. */
byte sealed[2]; byte sealE[2]; byte sealSize[2];

/* Nodes. */
byte registered[N] = 1;
byte joined[N];                               /* 1: one whole copy, 2: void until a snapshot */
byte mx[2 * N] = 1; byte rec[2 * N]; byte size[2 * N]; byte log[2 * N * LOG];
byte lead[2 * N]; bit srv[2 * N]; byte nz[2 * N]; byte cm[2 * N]; byte ack[2 * N]; byte fs[2 * N]; byte ses[2 * N * N]; byte mt[2 * N * N];
byte mlead[N];

byte gl[2]; byte acked[2 * LOG]; byte wr[2];
SCRATCH byte i; SCRATCH byte k; SCRATCH byte j;

#define LAST(s, n) (size[OF(s, n)] == 0 -> 0 : AT(s, n, size[OF(s, n)] - 1))
#define ENTRY(s, n, length) (length == 0 -> 0 : AT(s, n, length - 1))

inline endTerm(s, n) {
  lead[OF(s, n)] = 0; srv[OF(s, n)] = 0; nz[OF(s, n)] = 0; cm[OF(s, n)] = 0; ack[OF(s, n)] = 0;
  for (i : 0 .. N - 1) { ses[LINK(s, n, i)] = 0; mt[LINK(s, n, i)] = 0 };
  skip
}
inline stop(n) { endTerm(0, n); endTerm(1, n); fs[OF(0, n)] = 0; fs[OF(1, n)] = 0; mlead[n] = 0 }

/* The log of n in part s holds all that was acknowledged there. */
inline holdsAll(s, n) {
  CHECK(I6, size[OF(s, n)] >= gl[s]);
  for (i : 0 .. LOG - 1) { if :: i < gl[s] -> CHECK(I6, AT(s, n, i) == acked[s * LOG + i]) :: else fi };
  skip
}
inline witness(s, n, upto) {
  for (i : 0 .. LOG - 1) {
    if
    :: i < upto && i < gl[s] -> CHECK(I6, acked[s * LOG + i] == AT(s, n, i))
    :: i < upto && i >= gl[s] -> acked[s * LOG + i] = AT(s, n, i)
    :: else
    fi
  };
  if :: upto > gl[s] -> gl[s] = upto :: else fi;
  for (j : 0 .. N - 1) { if :: mlead[j] != 0 -> holdsAll(s, j) :: else fi };
  skip
}

#define NODE(n) \
  :: d_step { !fenced[n] && fenced[0] + fenced[1] + fenced[2] < FENCES -> printf("MSC: fence %d\n", n); fenced[n] = 1 } \
  :: d_step { fenced[n] && registered[n] != 2 -> printf("MSC: register %d\n", n); stop(n); registered[n] = 2 } \
  :: d_step { registered[n] != 0 -> printf("MSC: crash %d\n", n); stop(n); registered[n] = 0 }

/* --- The parts, as in leadership.pml. */
#define VALID(s, c) (IN(dIn[s], c) && !fenced[c])
#define MATCH(s, n, m) (IN(ack[OF(s, n)], m) -> mt[LINK(s, n, m)] : LOG)
#define LEAST(a, b) ((a) < (b) -> (a) : (b))
#define MATCHED(s, n) LEAST(size[OF(s, n)], LEAST(MATCH(s, n, 0), LEAST(MATCH(s, n, 1), MATCH(s, n, 2))))
#define NAME(s) (s)
#define PART(s, n) \
  :: d_step { !merged && s == 0 && dE[s] < EPOCHS && (fenced[dL[s]] || (rec[OF(s, dL[s])] == dE[s])) && VALID(s, n) -> printf("MSC: part %d: %d leads epoch %d\n", s, n, dE[s] + 1); dE[s] = dE[s] + 1; dL[s] = n } \
  :: d_step { !merged && IN(dIn[s], n) && s == 1 && n != dL[s] && CARD(dIn[s]) > MIN -> printf("MSC: part %d: %d leaves IN_SYNC\n", s, n); dIn[s] = dIn[s] & ~BIT(n) } \
  :: d_step { lead[OF(s, n)] != 0 && lead[OF(s, n)] == dE[s] && (ack[OF(s, n)] & ~dIn[s]) != 0 && !merged -> printf("MSC: part %d: %d learns the list\n", s, n); ack[OF(s, n)] = ack[OF(s, n)] & dIn[s] } \
  :: d_step { !joined[n] && !merged && dL[s] == n && registered[n] == 1 && lead[OF(s, n)] == 0 && mx[OF(s, n)] <= dE[s] && LAST(s, n) < dE[s] && rec[OF(s, n)] < dE[s] && size[OF(s, n)] < LOG -> \
     printf("MSC: part %d: %d takes up epoch %d\n", s, n, dE[s]); fs[OF(s, n)] = 0; mx[OF(s, n)] = dE[s]; AT(s, n, size[OF(s, n)]) = dE[s]; size[OF(s, n)] = size[OF(s, n)] + 1; \
     lead[OF(s, n)] = dE[s]; nz[OF(s, n)] = size[OF(s, n)]; ack[OF(s, n)] = dIn[s] & ~BIT(n); holdsAll(s, n) } \
  :: d_step { lead[OF(s, n)] != 0 && dE[s] > lead[OF(s, n)] -> printf("MSC: part %d: %d hears of epoch %d\n", s, n, dE[s]); endTerm(s, n) } \
  :: d_step { srv[OF(s, n)] && size[OF(s, n)] < LOG && wr[s] < WRITES -> wr[s] = wr[s] + 1; printf("MSC: part %d: write at %d\n", s, n); AT(s, n, size[OF(s, n)]) = lead[OF(s, n)]; size[OF(s, n)] = size[OF(s, n)] + 1 } \
  :: d_step { lead[OF(s, n)] != 0 && CARD(ack[OF(s, n)]) + 1 >= MIN && MATCHED(s, n) > cm[OF(s, n)] && MATCHED(s, n) >= nz[OF(s, n)] -> \
     cm[OF(s, n)] = MATCHED(s, n); srv[OF(s, n)] = 1; printf("MSC: part %d: %d commits up to %d\n", s, n, cm[OF(s, n)]); witness(s, n, cm[OF(s, n)]) } \
  SEAL(s, n)
#define OPEN(s, n, m) (lead[OF(s, n)] != 0 && registered[m] != 0 && fs[OF(s, m)] == lead[OF(s, n)] && ses[LINK(s, n, m)] == registered[m])
#define REPLICATION(s, n, m) \
  :: d_step { !joined[m] && lead[OF(s, n)] != 0 && registered[m] != 0 && mx[OF(s, m)] <= lead[OF(s, n)] && lead[OF(s, m)] < lead[OF(s, n)] && !OPEN(s, n, m) -> \
     printf("MSC: part %d: %d opens a session with %d\n", s, n, m); if :: lead[OF(s, m)] != 0 -> endTerm(s, m) :: else fi; \
     mx[OF(s, m)] = lead[OF(s, n)]; fs[OF(s, m)] = lead[OF(s, n)]; ses[LINK(s, n, m)] = registered[m]; mt[LINK(s, n, m)] = 0 } \
  :: d_step { !joined[m] && OPEN(s, n, m) && mx[OF(s, m)] <= lead[OF(s, n)] && mt[LINK(s, n, m)] < size[OF(s, n)] -> printf("MSC: part %d: %d sends its log to %d\n", s, n, m); \
     k = size[OF(s, m)]; for (i : 0 .. LOG - 1) { if :: i < size[OF(s, n)] && i < k && AT(s, m, i) != AT(s, n, i) -> k = i :: else fi }; \
     if :: k < size[OF(s, n)] -> k = size[OF(s, n)] :: else fi; \
     for (i : 0 .. LOG - 1) { if :: i < size[OF(s, n)] -> AT(s, m, i) = AT(s, n, i) :: i >= k -> AT(s, m, i) = 0 :: else fi }; size[OF(s, m)] = k; \
     mt[LINK(s, n, m)] = size[OF(s, n)] }

/* --- The merge. */
#ifdef NO_S2_SEAL
#define SETTLED(s, n) 1
#else
#define SETTLED(s, n) (MATCHED(s, n) == size[OF(s, n)] && cm[OF(s, n)] == size[OF(s, n)])
#endif
#ifdef NO_S2_END
#define SEALS(s, n) skip
#else
#define SEALS(s, n) rec[OF(s, n)] = dE[s]; endTerm(s, n)
#endif
#define SEAL(s, n) \
  :: d_step { !merged && dL[s] == n && srv[OF(s, n)] && lead[OF(s, n)] == dE[s] && SETTLED(s, n) && sealed[s] != dE[s] -> printf("MSC: part %d: %d seals at %d\n", s, n, size[OF(s, n)]); \
     sealed[s] = dE[s]; sealE[s] = LAST(s, n); sealSize[s] = size[OF(s, n)]; SEALS(s, n) }
#if defined(NO_S2_RECEIPT)
#define MAY_MERGE(s) 1
#elif defined(NO_S2_EPOCH)
#define MAY_MERGE(s) (sealed[s] != 0)
#else
#define MAY_MERGE(s) (sealed[s] == dE[s])
#endif
#ifdef NO_S2_RECEIPT
#define ENDS(s) endE[s] = LAST(s, dL[s]); endSize[s] = size[OF(s, dL[s])]
#else
#define ENDS(s) endE[s] = sealE[s]; endSize[s] = sealSize[s]
#endif
#ifdef NO_S2_INTERSECTION
#define BOTH dIn[0]
#else
#define BOTH (dIn[0] & dIn[1])
#endif
#ifdef NO_S2_JOIN
#define WHOLE(n) 1
#else
#define WHOLE(n) (size[OF(0, n)] == endSize[0] && size[OF(1, n)] == endSize[1] && LAST(0, n) == endE[0] && LAST(1, n) == endE[1])
#endif
#define MERGE \
  :: d_step { !merged && dL[0] == dL[1] && MAY_MERGE(0) && MAY_MERGE(1) && CARD(BOTH) >= MIN -> printf("MSC: merge\n"); \
     merged = 1; mE = (dE[0] > dE[1] -> dE[0] : dE[1]) + 1; mL = dL[0]; mIn = BOTH; ENDS(0); ENDS(1); \
     /* Whoever is listed, and has not joined yet, holds both parts whole (I-6). */ \
     for (j : 0 .. N - 1) { if :: IN(mIn, j) && LISTED_CHECK -> holdsAll(0, j); holdsAll(1, j) :: else fi }; skip }
#ifdef DEEP
#define LISTED_CHECK 0
#else
#define LISTED_CHECK 1
#endif
#define JOIN(n) \
  :: d_step { merged && !joined[n] && registered[n] != 0 -> stop(n); if :: WHOLE(n) -> joined[n] = 1; printf("MSC: %d joins\n", n) :: else -> joined[n] = 2; printf("MSC: %d gives its parts up\n", n) fi } \
  :: d_step { merged && fenced[mL] && IN(mIn, n) && !fenced[n] && mE < EPOCHS + 3 -> mE++; mL = n; printf("MSC: %d leads epoch %d of both\n", n, mE) } \
  :: d_step { merged && joined[n] == 1 && !fenced[n] && !IN(mIn, n) && mlead[mL] == mE -> printf("MSC: the merged log of %d matches, it joins IN_SYNC\n", n); mIn = mIn | BIT(n) } \
  :: d_step { merged && mL == n && registered[n] == 1 && joined[n] == 1 && mlead[n] == 0 -> printf("MSC: %d takes up epoch %d of both\n", n, mE); \
     for (j : 0 .. N - 1) { mlead[j] = 0 }; mlead[n] = mE; holdsAll(0, n); holdsAll(1, n) } \
  :: d_step { merged && mL == n && joined[n] == 2 && IN(mIn, n) && !fenced[n] -> printf("MSC: the leader %d of both holds nothing\n", n); CHECK(I6, 0) }

#define PARTS(n, m) REPLICATION(0, n, m) REPLICATION(1, n, m)
active proctype cluster() {
  d_step { for (i : 0 .. 1) { lead[OF(i, 0)] = 1; srv[OF(i, 0)] = 1; ack[OF(i, 0)] = 6 }; skip };
  do
  NODE(0) NODE(1) NODE(2)
  PART(0, 0) PART(0, 1) PART(0, 2) PART(1, 0) PART(1, 1) PART(1, 2)
  PARTS(0, 1) PARTS(0, 2) PARTS(1, 0) PARTS(1, 2) PARTS(2, 0) PARTS(2, 1)
  MERGE JOIN(0) JOIN(1) JOIN(2)
  od
}
