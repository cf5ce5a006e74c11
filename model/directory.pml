/*
 * A table's directory: two pages of shard descriptors; a page split, a shard split, an append and elections at once (S1, S4, I-1, I-2, I-3). Keys are
 * 0 .. 3. Shard 0 is [0, 1), shard 1 is [1, 3) and is split at 2, its child is shard 2; shard 3, [3, 4), is appended while the table is created. Page 0
 * holds all at first; the page split moves what starts at 1 or above to page 1.
 * Each change reads first and commits later under conditions; a revision is a number that every write of an item raises.
 */
#ifndef EPOCHS
#define EPOCHS 3
#endif
#define S 4
#define ITEM(p, s) ((p) * S + (s))
#define CHECK(invariant, holds) if :: (holds) :: else -> printf("BROKEN %e\n", invariant); assert(false) fi
#ifdef BREADTH
#define SCRATCH             /* a search by breadth knows no hidden variables */
#else
#define SCRATCH hidden
#endif
mtype = { I1, I2, I3 };

/* Items: descriptor of shard s in page p. end 0: there is no such item. */
byte end[2 * S]; byte epoch[2 * S]; byte rev[2 * S];
/* Page headers: bounds [low, high), how many, generation. */
byte low[2]; byte high[2]; byte count[2]; byte gen[2];

/* What was read before a commit: 0 nothing. */
byte ep[S]; byte erev[S]; byte eold[S]; byte eend[S];                            /* election of s: 1 + page, revision, epoch, end */
byte pg; byte prev[S]; byte pval[S]; byte pend[S]; byte pcount;                 /* page split: 1 + generation of the header; revisions (0: not moved) */
byte sp; byte srev; byte sval; byte sgen; byte shigh; byte scount; bit half;    /* shard split: 1 + page, parent's revision and epoch, header */

/* append of shard 3: 1 + page, header */
byte ap; byte agen; byte acount;

/* Watched: the last epoch given to each shard. */
byte given[S];
byte made = 3;              /* the table reaches up to here */
SCRATCH byte i; SCRATCH byte k; SCRATCH byte at;

#define START(s) (s)
#define IS_IN(p, s) (end[ITEM(p, s)] != 0)

/* I-1: each page covers its bounds without gap or overlap, and the pages cover all keys. I-3: no election is undone. */
inline tiling() {
  CHECK(I1, low[0] == 0 && (high[1] == 0 -> high[0] == 4 : (high[0] == low[1] && high[1] == 4)));
  at = 0;
  for (i : 0 .. 1) {
    for (k : 0 .. S - 1) {
      if
      :: IS_IN(i, k) -> CHECK(I1, START(k) == at && START(k) >= low[i] && end[ITEM(i, k)] <= high[i]); at = end[ITEM(i, k)];
         CHECK(I3, epoch[ITEM(i, k)] == given[k])
      :: else
      fi
    }
  }
  CHECK(I1, at == made);
  for (i : 0 .. 1) { CHECK(I2, count[i] == IS_IN(i, 0) + IS_IN(i, 1) + IS_IN(i, 2) + IS_IN(i, 3)) };
  skip
}

#ifdef NO_GENERATION
#define SAME_ITEM(p, s) 1
#else
#define SAME_ITEM(p, s) (IS_IN(p, s) && rev[ITEM(p, s)] == erev[s])
#endif
#define ELECTION(s) \
  :: d_step { ep[s] == 0 && IS_IN(0, s) && epoch[ITEM(0, s)] < EPOCHS -> printf("MSC: election of %d reads page 0\n", s); ep[s] = 1; erev[s] = rev[ITEM(0, s)]; eold[s] = epoch[ITEM(0, s)]; eend[s] = end[ITEM(0, s)] } \
  :: d_step { ep[s] == 0 && IS_IN(1, s) && epoch[ITEM(1, s)] < EPOCHS -> printf("MSC: election of %d reads page 1\n", s); ep[s] = 2; erev[s] = rev[ITEM(1, s)]; eold[s] = epoch[ITEM(1, s)]; eend[s] = end[ITEM(1, s)] } \
  :: d_step { ep[s] != 0 && SAME_ITEM(ep[s] - 1, s) -> k = ITEM(ep[s] - 1, s); printf("MSC: election of %d\n", s); \
     epoch[k] = eold[s] + 1; end[k] = eend[s]; rev[k] = rev[k] + 1; CHECK(I3, given[s] < epoch[k]); given[s] = epoch[k]; ep[s] = 0; erev[s] = 0; eold[s] = 0; eend[s] = 0; tiling() } \
  :: d_step { ep[s] != 0 -> printf("MSC: election of %d is given up\n", s); ep[s] = 0; erev[s] = 0; eold[s] = 0; eend[s] = 0 }

#ifdef NO_S4_REVISION
#define MOVED_SAME(s) 1
#else
#define MOVED_SAME(s) (prev[s] == 0 || rev[ITEM(0, s)] == prev[s])
#endif
#ifdef NO_S4_HEADER
#define PAGE_SAME 1
#else
#define PAGE_SAME (gen[0] + 1 == pg)
#endif
#ifdef NO_S4_ABSENCE
#define ABSENT(s) 1
#else
#define ABSENT(s) (prev[s] == 0 || !IS_IN(1, s))
#endif
inline readMoved(s) { if :: IS_IN(0, s) -> prev[s] = rev[ITEM(0, s)]; pval[s] = epoch[ITEM(0, s)]; pend[s] = end[ITEM(0, s)]; pcount++ :: else fi }
inline move(s) {
  if
  :: prev[s] != 0 ->
     end[ITEM(1, s)] = pend[s]; epoch[ITEM(1, s)] = pval[s]; rev[ITEM(1, s)] = prev[s] + 1; count[1] = count[1] + 1;
     end[ITEM(0, s)] = 0; epoch[ITEM(0, s)] = 0; rev[ITEM(0, s)] = 0; prev[s] = 0; pval[s] = 0; pend[s] = 0
  :: else
  fi
}
#define PAGE_SPLIT \
  :: d_step { pg == 0 && high[0] == 4 -> printf("MSC: page split reads\n"); pg = gen[0] + 1; pcount = 0; readMoved(1); readMoved(2); readMoved(3); skip } \
  :: d_step { pg != 0 && PAGE_SAME && MOVED_SAME(1) && MOVED_SAME(2) && MOVED_SAME(3) && ABSENT(1) && ABSENT(2) && ABSENT(3) && PAGE_ONCE -> printf("MSC: page split\n"); \
     low[1] = 1; high[1] = 4; high[0] = 1; gen[0] = gen[0] + 1; gen[1] = 1; count[0] = count[0] - pcount; move(1); move(2); move(3); pg = 0; pcount = 0; tiling() } \
  :: d_step { pg != 0 -> printf("MSC: page split is given up\n"); pg = 0; pcount = 0; for (i : 1 .. 3) { prev[i] = 0; pval[i] = 0; pend[i] = 0 }; skip }
#ifdef NO_S4_HEADER
#define PAGE_ONCE (high[0] == 4)
#else
#define PAGE_ONCE 1
#endif

#ifdef NO_S4_SPLIT_HEADER
#define HEADER_SAME(p) 1
#else
#define HEADER_SAME(p) (gen[p] == sgen)
#endif
#ifdef NO_S1_REVISION
#define PARENT_SAME(p) (IS_IN(p, 1) && end[ITEM(p, 1)] == 3)
#else
#define PARENT_SAME(p) (IS_IN(p, 1) && rev[ITEM(p, 1)] == srev)
#endif
#ifdef NO_S1_ABSENT
#define CHILD_ABSENT 1
#else
#define CHILD_ABSENT (!IS_IN(0, 2) && !IS_IN(1, 2))
#endif
inline readParent(p) { sp = p + 1; srev = rev[ITEM(p, 1)]; sval = epoch[ITEM(p, 1)]; sgen = gen[p]; shigh = high[p]; scount = count[p] }
inline shrinkParent(p) { end[ITEM(p, 1)] = 2; epoch[ITEM(p, 1)] = sval; rev[ITEM(p, 1)] = rev[ITEM(p, 1)] + 1 }
inline putChild(p) {
  end[ITEM(p, 2)] = 3; epoch[ITEM(p, 2)] = sval + 1; rev[ITEM(p, 2)] = 1;
  CHECK(I3, given[2] < sval + 1); given[2] = sval + 1;
  high[p] = shigh; count[p] = scount + 1; gen[p] = gen[p] + 1
}
inline splitDone() { sp = 0; srev = 0; sval = 0; sgen = 0; shigh = 0; scount = 0; half = 0 }
#ifdef NO_S1_ATOMIC
#define SPLIT_COMMIT(p) \
  :: d_step { sp == p + 1 && !half && PARENT_SAME(p) && HEADER_SAME(p) && CHILD_ABSENT -> printf("MSC: the parent is shrunk\n"); shrinkParent(p); half = 1; tiling() } \
  :: d_step { sp == p + 1 && half -> printf("MSC: the child is put\n"); putChild(p); splitDone(); tiling() }
#else
#define SPLIT_COMMIT(p) \
  :: d_step { sp == p + 1 && PARENT_SAME(p) && HEADER_SAME(p) && CHILD_ABSENT -> printf("MSC: shard split in page %d\n", p); \
     shrinkParent(p); putChild(p); splitDone(); tiling() }
#endif
/* Two executions of one operation may be under way: the second finds what the first did, or the conditions turn it away. */
#define SHARD_SPLIT \
  :: d_step { sp == 0 && IS_IN(0, 1) && END_OPEN(0) -> printf("MSC: shard split reads page 0\n"); readParent(0) } \
  :: d_step { sp == 0 && IS_IN(1, 1) && END_OPEN(1) -> printf("MSC: shard split reads page 1\n"); readParent(1) } \
  SPLIT_COMMIT(0) SPLIT_COMMIT(1) \
  :: d_step { sp != 0 -> printf("MSC: shard split is given up\n"); splitDone() }
#define END_OPEN(p) (end[ITEM(p, 1)] == 3)

/* The last page takes the shard; its header is raised. */
#ifdef NO_S4_APPEND
#define LAST_PAGE(p) 1
#else
#define LAST_PAGE(p) (gen[p] == agen)
#endif
#define APPEND(p) \
  :: d_step { ap == 0 && made == 3 && gen[p] != 0 && high[p] == 4 -> printf("MSC: append reads page %d\n", p); ap = p + 1; agen = gen[p]; acount = count[p] } \
  :: d_step { ap == p + 1 && made == 3 && LAST_PAGE(p) -> printf("MSC: append to page %d\n", p); \
     end[ITEM(p, 3)] = 4; epoch[ITEM(p, 3)] = 1; rev[ITEM(p, 3)] = 1; given[3] = 1; count[p] = acount + 1; gen[p] = gen[p] + 1; made = 4; ap = 0; agen = 0; acount = 0; tiling() } \
  :: d_step { ap == p + 1 -> printf("MSC: append is given up\n"); ap = 0; agen = 0; acount = 0 }

active proctype store() {
  d_step { end[ITEM(0, 0)] = 1; end[ITEM(0, 1)] = 3; for (i : 0 .. 1) { epoch[ITEM(0, i)] = 1; rev[ITEM(0, i)] = 1; given[i] = 1 };
    high[0] = 4; count[0] = 2; gen[0] = 1 };
  do
  ELECTION(0) ELECTION(1) ELECTION(2) ELECTION(3)
  PAGE_SPLIT
  SHARD_SPLIT
  APPEND(0) APPEND(1)
  od
}
