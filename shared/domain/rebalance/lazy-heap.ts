/**
 * A binary heap of nodes, the smallest key first, ties by node number. Keys are read again only at the top: a node whose key grew is put
 * in its place when it comes up. (A node whose key fell surfaces late; in a plan sources only shed and targets only
 * receive, so keys of nodes that matter only grow.)
 */
export class LazyHeap {
  private readonly nodes: Int32Array;
  private readonly keys: Float64Array;
  private readonly keyOf: (node: number) => number;
  size: number;

  constructor(nodes: readonly number[], keyOf: (node: number) => number) {
    this.nodes = Int32Array.from(nodes);
    this.keys = Float64Array.from(nodes, keyOf);
    this.keyOf = keyOf;
    this.size = nodes.length;
    for (let i = (this.size >> 1) - 1; i >= 0; i--) this.sink(i);
  }

  /** The node with the smallest key, -1 if the heap is empty. */
  top(): number {
    while (this.size > 0) {
      const node = this.nodes[0] as number;
      const key = this.keyOf(node);
      if (key === this.keys[0]) return node;
      this.keys[0] = key;
      this.sink(0);
      if (this.nodes[0] === node) return node;
    }
    return -1;
  }

  /** Takes the smallest node off; -1 if the heap is empty. */
  pop(): number {
    const node = this.top();
    if (node === -1) return -1;
    this.size -= 1;
    if (this.size > 0) {
      this.nodes[0] = this.nodes[this.size] as number;
      this.keys[0] = this.keys[this.size] as number;
      this.sink(0);
    }
    return node;
  }

  /** Puts a node back that was popped. */
  push(node: number): void {
    let i = this.size++;
    const key = this.keyOf(node);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!this.before(key, node, parent)) break;
      this.nodes[i] = this.nodes[parent] as number;
      this.keys[i] = this.keys[parent] as number;
      i = parent;
    }
    this.nodes[i] = node;
    this.keys[i] = key;
  }

  private before(key: number, node: number, other: number): boolean {
    const otherKey = this.keys[other] as number;
    return key < otherKey || (key === otherKey && node < (this.nodes[other] as number));
  }

  private sink(from: number): void {
    const node = this.nodes[from] as number;
    const key = this.keys[from] as number;
    let i = from;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= this.size) break;
      const right = child + 1;
      if (right < this.size && this.before(this.keys[right] as number, this.nodes[right] as number, child))
        child = right;
      if (this.before(key, node, child)) break;
      this.nodes[i] = this.nodes[child] as number;
      this.keys[i] = this.keys[child] as number;
      i = child;
    }
    this.nodes[i] = node;
    this.keys[i] = key;
  }
}
