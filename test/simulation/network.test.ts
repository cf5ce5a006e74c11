import { FAIR_WEATHER, SimulatedNetwork } from './network.ts';
import type { NetworkRequest } from './network.ts';
import { seededRandom } from './random.ts';
import { Trace } from './trace.ts';
import { VirtualTime } from './virtual-time.ts';

const ping: NetworkRequest = { method: 'POST', path: '/ping', headers: {}, body: '{}' };

function pair(seed = 1) {
  const time = new VirtualTime();
  const trace = new Trace(() => time.nowMs());
  const network = new SimulatedNetwork(time, seededRandom(seed), trace);
  const server = time.processEnvironment({ name: 'server' });
  const caller = { host: 'caller', process: time.processEnvironment({ name: 'caller' }) };
  const served: number[] = [];
  network.listen('server', 80, {
    process: server,
    handle: async () => {
      served.push(time.nowMs());
      return { status: 200, headers: {}, body: 'pong' };
    },
  });
  const call = (): { outcome: string | null; atMs: number } => {
    const seen: { outcome: string | null; atMs: number } = { outcome: null, atMs: -1 };
    void network.request(caller, { host: 'server', port: 80 }, ping, 100).then((result) => {
      seen.outcome = result.ok ? result.value.body : result.error.code;
      seen.atMs = time.nowMs();
    });
    return seen;
  };
  return { time, network, server, served, call };
}

describe('simulated network', () => {
  test('a request is served once and answered after both latencies', async () => {
    const { time, served, call } = pair();
    const seen = call();
    await time.run(200);
    expect(seen.outcome).toBe('pong');
    expect(served).toHaveLength(1);
    expect(seen.atMs).toBeGreaterThan(served[0]!);
    expect(seen.atMs).toBeLessThan(2 * FAIR_WEATHER.latencyMsMax);
  });

  test('a one-way cut loses the answer of a request that was served', async () => {
    const { time, network, served, call } = pair();
    network.cut('server', 'caller');
    const seen = call();
    await time.run(200);
    expect(served).toHaveLength(1);
    expect(seen).toEqual({ outcome: 'UNREACHABLE', atMs: 100 });
  });

  test('a paused server serves late, a dead one refuses', async () => {
    const { time, server, served, call } = pair();
    server.pause();
    const late = call();
    time.after(150, () => server.resume());
    await time.run(200);
    expect(late.outcome).toBe('UNREACHABLE');
    expect(served).toEqual([150]);
    server.kill();
    const refused = call();
    await time.run(400);
    expect(refused.outcome).toBe('UNREACHABLE');
    expect(served).toHaveLength(1);
  });

  test('loss and duplication come at the rates asked for', async () => {
    const { time, network, served, call } = pair(5);
    network.weather = { ...FAIR_WEATHER, lossProbability: 0.2, duplicateProbability: 0.1, spikeMsMax: 50 };
    const seen = Array.from({ length: 2_000 }, call);
    await time.run(1_000);
    const answered = seen.filter(({ outcome }) => outcome === 'pong').length / 2_000;
    expect(answered).toBeGreaterThan(0.59);
    expect(answered).toBeLessThan(0.69);
    // 80 % arrive, a tenth of those twice.
    expect(served.length / 2_000).toBeGreaterThan(0.83);
    expect(served.length / 2_000).toBeLessThan(0.93);
  });
});
