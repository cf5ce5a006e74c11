/*
 * The lease of one node id: two processes (the second is a restart, or a second start by mistake), the Liveness item, two detectors.
 * Time runs in ticks. A timer is its age in ticks, up to LONG. Clocks: a node's may run slow and a detector's fast, each by DRIFT ticks in
 * the life of a lease, at worst; so a node may believe in its lease until LEASE - BOUND + DRIFT after it sent, and a detector may wait
 * no longer than LEASE + BOUND - DRIFT (L2, L3). What leadership.pml takes from here: a node that believes in its lease is not fenced (I-4).
 *
 * Faults: delay, loss, repetition and reordering of requests and answers, pauses of node and detector at every point, crash, a second start.
 */
#ifndef BEATS
#define BEATS 2             /* sequences of one node epoch: 0 .. BEATS */
#endif
#ifndef NODE_EPOCHS
#define NODE_EPOCHS 2
#endif
#define LEASE 3             /* ticks */
#define BOUND 1
#define DRIFT 1
#define LONG (LEASE + BOUND + 1)
#ifdef NO_L3_BOUND
#define BELIEF (LEASE + DRIFT)
#else
#define BELIEF (LEASE - BOUND + DRIFT)
#endif
#ifdef NO_L2_WAIT
#define PATIENCE (LEASE - DRIFT)
#else
#define PATIENCE (LEASE + BOUND - DRIFT)
#endif
#define P 2                 /* processes of the node id */
#ifndef D
#define D 1                 /* detector loops */
#endif
#define CHECK(invariant, holds) if :: (holds) :: else -> printf("BROKEN %e\n", invariant); assert(false) fi

#ifdef BREADTH
#define SCRATCH             /* a search by breadth knows no hidden variables */
#else
#define SCRATCH hidden
#endif
mtype = { I4, I8 };

/* The Liveness item. */
byte ne = 1; byte inc = 1;  /* node epoch; 1 + process that holds it, 0: fenced */
byte seq; bit released;
byte markNe; byte markSeq;  /* expired(node epoch, sequence), L4; 0: none */

/* A process. */
byte pne[P];                /* registered under; 0: none */
byte age[P] = LONG;         /* ticks since the first send of the acknowledged sequence */
byte pseq[P];               /* sequence being sent; 0: none */
byte sent[P];               /* ticks since its first send */
bit way[P];                 /* a copy of it is on its way to the store */
bit done[P];                /* committed; the answer is on its way */
#ifdef NO_L1_ITEM
bit passed[P];              /* node epoch looked at, sequence not yet written */
#endif
#ifdef NO_L3_SUSPEND
bit paused[P];
#endif

/* A detector: what it observed first how long ago; the fence that it decided on. */
byte one[D]; byte oseq[D]; byte oage[D];
byte fne[D]; byte fseq[D];
SCRATCH byte i;

#define BELIEVES(p) (pne[p] != 0 && age[p] < BELIEF)
#define SAFE() \
  for (i : 0 .. P - 1) { CHECK(I4, !BELIEVES(i) || pne[i] == ne) }; \
  CHECK(I8, !(BELIEVES(0) && BELIEVES(1))); skip

inline forget(p) {
  pne[p] = 0; age[p] = LONG; pseq[p] = 0; sent[p] = 0; way[p] = 0; done[p] = 0;
#ifdef NO_L1_ITEM
  passed[p] = 0;
#endif
#ifdef NO_L3_SUSPEND
  paused[p] = 0;
#endif
}

#define OLDER(timer) timer = ((timer) < LONG -> (timer) + 1 : LONG)
#ifdef NO_L3_SUSPEND
#define NODE_TICK(p) if :: paused[p] :: else -> if :: pne[p] != 0 -> OLDER(age[p]) :: else fi; if :: pseq[p] != 0 -> OLDER(sent[p]) :: else fi fi
#define RUNS(p) !paused[p]
#define PAUSE(p) :: d_step { pne[p] != 0 -> printf("MSC: process %d %d\n", p, paused[p]); paused[p] = 1 - paused[p] }
#else
#define NODE_TICK(p) if :: pne[p] != 0 -> OLDER(age[p]) :: else fi; if :: pseq[p] != 0 -> OLDER(sent[p]) :: else fi
#define RUNS(p) 1
#define PAUSE(p)
#endif

/* L1: a renewal needs node epoch and incarnation, and a higher sequence, in the item that the fence tests. */
#ifdef NO_L1_RENEW
#define MAY_RENEW(p) (inc == 0 || inc == p + 1)
#else
#define MAY_RENEW(p) (ne == pne[p] && inc == p + 1 && !released)
#endif
#define WRITTEN(p) if :: seq < pseq[p] -> seq = pseq[p] :: else fi; way[p] = 0; done[p] = 1
#ifdef NO_L1_ITEM
#define RENEWAL(p) \
  :: d_step { way[p] && !passed[p] && MAY_RENEW(p) -> printf("MSC: renewal %d of process %d is checked\n", pseq[p], p); passed[p] = 1 } \
  :: d_step { way[p] && passed[p] -> printf("MSC: renewal %d of process %d is written\n", pseq[p], p); passed[p] = 0; WRITTEN(p) }
#else
#define RENEWAL(p) \
  :: d_step { way[p] && MAY_RENEW(p) -> printf("MSC: renewal %d of process %d is committed\n", pseq[p], p); WRITTEN(p) }
#endif
#ifdef NO_L3_RELAY
#define ANSWERED(p) (pseq[p] != 0)
#else
#define ANSWERED(p) done[p]
#endif
#ifdef NO_L3_SEND
#define COUNTED(p) 0
#else
#define COUNTED(p) sent[p]
#endif

/* L4: a start registers over a lease that was observed as expired and stands still, was released, or is fenced already. */
#if defined(NO_L4_MARK)
#define MAY_REGISTER 1
#elif defined(NO_L4_MATCH)
#define MAY_REGISTER (inc == 0 || released || markNe == ne)
#else
#define MAY_REGISTER (inc == 0 || released || (markNe == ne && markSeq == seq + 1))
#endif
#ifdef NO_L4_RELEASE
#define STOPS(p) skip
#else
#define STOPS(p) age[p] = LONG; pseq[p] = 0; way[p] = 0; done[p] = 0; sent[p] = 0
#endif

#define PROCESS(p) \
  :: d_step { RUNS(p) && pne[p] != 0 && pseq[p] == 0 && pne[p] == ne && !released && seq < BEATS -> \
     pseq[p] = seq + 1; sent[p] = 0; way[p] = 1; done[p] = 0; printf("MSC: process %d sends %d\n", p, pseq[p]) } \
  :: d_step { RUNS(p) && pseq[p] != 0 && !way[p] && !done[p] -> printf("MSC: process %d sends %d again\n", p, pseq[p]); way[p] = 1 } \
  :: d_step { way[p] -> printf("MSC: renewal of process %d is lost\n", p); way[p] = 0 } \
  RENEWAL(p) \
  :: d_step { RUNS(p) && ANSWERED(p) -> printf("MSC: process %d has its lease\n", p); age[p] = COUNTED(p); pseq[p] = 0; done[p] = 0; way[p] = 0; sent[p] = 0; SAFE() } \
  :: d_step { RUNS(p) && pne[p] == ne && inc == p + 1 && !released -> printf("MSC: process %d releases\n", p); STOPS(p); released = 1 } \
  :: d_step { pne[p] != 0 -> printf("MSC: process %d dies\n", p); forget(p) } \
  :: d_step { RUNS(p) && ne < NODE_EPOCHS && MAY_REGISTER -> printf("MSC: process %d registers under %d\n", p, ne + 1); \
     forget(p); ne++; inc = p + 1; seq = 0; released = 0; markNe = 0; markSeq = 0; pne[p] = ne; age[p] = 0; SAFE() } \
  PAUSE(p)

/* L2: fences only when a sequence stood still for lease + bound on its own clock since its first strong read of it. */
#ifdef NO_L2_READ
#define OBSERVED(d) skip
#else
#define OBSERVED(d) oage[d] = 0
#endif
#ifdef NO_L1_SEQUENCE
#define UNCHANGED(d) (ne == fne[d])
#else
#define UNCHANGED(d) (ne == fne[d] && seq + 1 == fseq[d])
#endif
#define DETECTOR(d) \
  :: d_step { inc != 0 && (one[d] != ne || oseq[d] != seq + 1) -> printf("MSC: detector %d reads %d\n", d, seq); \
     one[d] = ne; oseq[d] = seq + 1; OBSERVED(d) } \
  :: d_step { inc != 0 && one[d] == ne && oseq[d] == seq + 1 && oage[d] >= PATIENCE && fne[d] == 0 -> \
     printf("MSC: detector %d finds %d expired\n", d, seq); fne[d] = ne; fseq[d] = seq + 1 } \
  :: d_step { fne[d] != 0 && ne == fne[d] && seq + 1 == fseq[d] -> printf("MSC: detector %d marks\n", d); markNe = fne[d]; markSeq = fseq[d] } \
  :: d_step { fne[d] != 0 && ne < NODE_EPOCHS && UNCHANGED(d) && inc != 0 -> printf("MSC: detector %d fences\n", d); \
     ne++; inc = 0; seq = 0; released = 0; markNe = 0; markSeq = 0; fne[d] = 0; fseq[d] = 0; SAFE() } \
  :: d_step { fne[d] != 0 -> printf("MSC: detector %d is refused or gone\n", d); fne[d] = 0; fseq[d] = 0; one[d] = 0; oseq[d] = 0; oage[d] = 0 }

active proctype cluster() {
  d_step { pne[0] = 1; age[0] = 0 };
  do
  PROCESS(0) PROCESS(1)
  DETECTOR(0)
#if D > 1
  DETECTOR(1)
#endif
  :: d_step { printf("MSC: tick\n"); NODE_TICK(0); NODE_TICK(1); \
     for (i : 0 .. D - 1) { if :: one[i] != 0 -> OLDER(oage[i]) :: else fi }; SAFE() }
  od
}
