/** Store reads of one request in flight at once: enough to hide 5 ms of latency, few enough to leave a partition its share. */
export const STORE_CONCURRENCY = 32;
