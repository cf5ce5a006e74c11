/*
 * Moves of replicas: copies added and removed by operations that own the shard, a floor of copies in sync, commands to nodes that come
 * late or twice (R4, S3, I-7, I-9). What replication does is taken from leadership.pml: an acknowledged write is on every IN_SYNC copy, so
 * a copy is either whole (holds every acknowledged write) or not.
 */
#ifndef NODE_EPOCHS
#define NODE_EPOCHS 2
#endif
#define N 4
#define RF 3
#define MIN 2
#define IDS 6               /* replica ids: 1 .. IDS */
#define BIT(n) (1 << (n))
#define IN(set, n) (((set) >> (n)) & 1)
#define CARD(set) (((set) & 1) + (((set) >> 1) & 1) + (((set) >> 2) & 1) + (((set) >> 3) & 1))
#define CHECK(invariant, holds) if :: (holds) :: else -> printf("BROKEN %e\n", invariant); assert(false) fi
#ifdef BREADTH
#define SCRATCH             /* a search by breadth knows no hidden variables */
#else
#define SCRATCH hidden
#endif
mtype = { I6, I7, I9 };

/* The store: Liveness and the descriptor. */
byte ne[N] = 1; bit held[N] = 1;
byte members = 7; byte inSync = 7; byte ine[N] = 1; byte id[N];   /* replica id of the copy listed on the node */
byte leader; byte lne = 1; byte owner;                             /* operation that owns the shard; 0: none */
byte nextId = 4;
/* A removal that was decided and is not committed: 1 + node, operation, counted survivors (S3). */
byte leaving; byte leavingOp; byte counted;

/* Operations 1 and 2: a copy onto `to`, one away from `from`. phase 0: not begun, 1: owns, 2: added, 3: removed. */
byte phase[3]; byte to[3]; byte from[3];

/* Nodes: copy held (its replica id) and whether it is whole; what the leader requires besides the list; removals that may still arrive. */
byte copy[N]; bit whole[N]; byte required; byte late[N];
SCRATCH byte i; SCRATCH byte k; SCRATCH byte before;

#define VALID(n) (IN(inSync, n) && ine[n] == ne[n] && held[n])
#define VALID_SET (VALID(0) + 2 * VALID(1) + 4 * VALID(2) + 8 * VALID(3))
#define LED (ne[leader] == lne && held[leader])

/* The generation rose: a removal decided before has no effect. */
inline changed() { leaving = 0; leavingOp = 0; counted = 0 }

#ifdef NO_I9_CLAIM
#define FREE 1
#else
#define FREE (owner == 0)
#endif
#ifdef NO_I9_TOKEN
#define OWNS(op) (phase[op] != 0)
#else
#define OWNS(op) (owner == op)
#endif
#define EXCLUSIVE(op) CHECK(I9, owner == op)
#ifdef NO_R4_ID
#define NEW_ID(op) (to[op] + 1)
#define NEVER_REMOVED(n) 1
#else
#define NEW_ID(op) nextId
#define NEVER_REMOVED(n) !IN(late[n], id[n])
#endif
#ifdef NO_R4_MATCH
#define NAMES(n) (copy[n] != 0)
#else
#define NAMES(n) (copy[n] != 0 && IN(late[n], copy[n]))
#endif
#ifdef NO_S3
#define STILL_COUNT(set) 1
#else
#define STILL_COUNT(set) ((set & ~VALID_SET) == 0)
#endif
#ifdef NO_I7_FLOOR
#define ENOUGH(left, had) 1
#else
#define ENOUGH(left, had) ((left) >= ((had) < RF -> (had) : RF))
#endif
#ifdef NO_R1_FLOOR
#define FLOOR 1
#else
#define FLOOR MIN
#endif
#ifdef NO_REMOVE_LEADER
#define MAY_LEAVE(n) 1
#else
#define MAY_LEAVE(n) (n != leader)
#endif
#ifdef NO_R2_WHOLE
#define CAUGHT_UP(n) 1
#else
#define CAUGHT_UP(n) (whole[n] && IN(required, n))
#endif
#define LIST_CHECK() CHECK(I7, CARD(inSync) >= MIN)

#define OPERATION(op) \
  :: d_step { phase[op] == 0 && FREE && IN(members, from[op]) && !IN(members, to[op]) -> printf("MSC: operation %d claims the shard\n", op); CHECK(I9, owner == 0); \
     owner = op; phase[op] = 1; changed() } \
  :: d_step { phase[op] == 1 && OWNS(op) && nextId <= IDS -> printf("MSC: operation %d adds a copy on %d\n", op, to[op]); EXCLUSIVE(op); \
     members = members | BIT(to[op]); id[to[op]] = NEW_ID(op); nextId++; phase[op] = 2; changed() } \
  :: d_step { phase[op] == 2 && OWNS(op) && leaving == 0 && LED && MAY_LEAVE(from[op]) && IN(members, from[op]) && \
     ENOUGH(CARD(VALID_SET & ~BIT(from[op])), CARD(VALID_SET)) && CARD(inSync & ~BIT(from[op])) >= FLOOR -> \
     printf("MSC: operation %d will remove the copy on %d\n", op, from[op]); \
     leaving = from[op] + 1; leavingOp = op; counted = VALID_SET & ~BIT(from[op]) } \
  :: d_step { leavingOp == op && OWNS(op) && STILL_COUNT(counted) -> k = leaving - 1; printf("MSC: operation %d removes the copy on %d\n", op, k); \
     EXCLUSIVE(op); before = CARD(VALID_SET); members = members & ~BIT(k); inSync = inSync & ~BIT(k); required = required & ~BIT(k); \
     CHECK(I7, k != leader); \
     CHECK(I7, CARD(VALID_SET) >= (before < RF -> before : RF)); LIST_CHECK(); \
     late[k] = late[k] | BIT(id[k]); id[k] = 0; phase[op] = 3; changed() } \
  :: d_step { owner == op -> printf("MSC: operation %d ends; a late worker of it may not know\n", op); owner = 0; changed() }

#define NODE(n) \
  :: d_step { held[n] && ne[n] < NODE_EPOCHS -> printf("MSC: fence %d\n", n); ne[n]++; held[n] = 0 } \
  :: d_step { !held[n] -> printf("MSC: register %d\n", n); held[n] = 1 } \
  :: d_step { IN(members, n) && held[n] && copy[n] != id[n] && NEVER_REMOVED(n) && !VALID(n) -> printf("MSC: copy %d is created on %d\n", id[n], n); \
     copy[n] = id[n]; whole[n] = 0 } \
  :: d_step { late[n] != 0 && NAMES(n) -> printf("MSC: a removal arrives on %d\n", n); copy[n] = 0; whole[n] = 0 } \
  :: d_step { LED && IN(members, n) && copy[n] == id[n] && held[n] && !IN(inSync, n) && !whole[n] -> printf("MSC: the copy on %d is filled and required\n", n); \
     whole[n] = 1; required = required | BIT(n) } \
  :: d_step { LED && IN(members, n) && held[n] && copy[n] == id[n] && CAUGHT_UP(n) && (!IN(inSync, n) || ine[n] < ne[n]) -> printf("MSC: %d joins IN_SYNC\n", n); \
     inSync = inSync | BIT(n); ine[n] = ne[n]; changed() } \
  :: d_step { IN(inSync, n) && n != leader && CARD(inSync) > FLOOR -> printf("MSC: %d leaves IN_SYNC\n", n); \
     inSync = inSync & ~BIT(n); LIST_CHECK(); changed() } \
  :: d_step { IN(required, n) && !IN(inSync, n) -> printf("MSC: %d is required no longer\n", n); required = required & ~BIT(n) } \
  :: d_step { VALID(n) && n != leader -> printf("MSC: %d leads\n", n); leader = n; lne = ine[n]; required = 0; \
     CHECK(I6, copy[n] == id[n] && whole[n]); changed() }

/* Acknowledged: every member of the ack set holds it, nobody else does. */
#define WRITE \
  :: d_step { LED && CARD(inSync) >= MIN && HOLDS(0) && HOLDS(1) && HOLDS(2) && HOLDS(3) -> printf("MSC: a write is acknowledged\n"); \
     for (i : 0 .. N - 1) { if :: !IN(inSync | required, i) -> whole[i] = 0 :: else fi }; skip }
#define HOLDS(n) (!IN(inSync | required, n) || (copy[n] == id[n] && copy[n] != 0))

active proctype cluster() {
  d_step { id[0] = 1; id[1] = 2; id[2] = 3; copy[0] = 1; copy[1] = 2; copy[2] = 3; whole[0] = 1; whole[1] = 1; whole[2] = 1;
    from[1] = 1; to[1] = 3; from[2] = 3; to[2] = 1 };
#ifdef RIVALS
  d_step { from[2] = 2; to[2] = 3 };
#endif
  do
  OPERATION(1) OPERATION(2)
  NODE(0) NODE(1) NODE(2) NODE(3)
  WRITE
  od
}
