import { readOptions } from '../../data-node/system/options.ts';

const ARGS = ['--node-id', 'n1', '--zone', 'z', '--data-dir', '/d', '--control-plane', 'http://127.0.0.1:1'];

describe('where others reach a node', () => {
  test.each<[readonly string[], object]>([
    [[], { host: '127.0.0.1', port: 0, advertisedHost: null, advertisedPort: null }],
    [['--port', '7001'], { port: 7001, advertisedPort: null }],
    [
      ['--port', '7001', '--advertise-host', 'db.example.com', '--advertise-port', '80'],
      { host: '127.0.0.1', port: 7001, advertisedHost: 'db.example.com', advertisedPort: 80 },
    ],
  ])('%j', (args, expected) => {
    expect(readOptions([...ARGS, ...args], {})).toMatchObject({ ok: true, value: expected });
  });

  test.each(['0', '65536', 'x', '', '1e3'])('the port %j is refused', (port) => {
    const refusal = { ok: false, error: '--advertise-port must be 1 to 65535' };
    expect(readOptions([...ARGS, '--advertise-port', port], {})).toEqual(refusal);
  });

  test('a host that is none is refused', () => {
    expect(readOptions([...ARGS, '--advertise-host', 'a b'], {})).toMatchObject({ ok: false });
  });
});

describe('what a node is good for', () => {
  test('labels and weight', () => {
    const args = [...ARGS, '--label', 'disk=ssd', '--label', 'rack=r/1', '--capacity-weight', '2.5'];
    expect(readOptions(args, {})).toMatchObject({
      ok: true,
      value: { labels: { disk: 'ssd', rack: 'r/1' }, capacityWeight: 2.5 },
    });
    expect(readOptions(ARGS, {})).toMatchObject({ ok: true, value: { labels: null, capacityWeight: null } });
  });

  test.each([
    ['--label', 'disk'],
    ['--label', '=ssd'],
    ['--label', 'disk=s d'],
    ['--label', '__proto__=x'],
    ['--capacity-weight', '0'],
    ['--capacity-weight', '101'],
    ['--capacity-weight', ''],
    ['--capacity-weight', 'two'],
  ])('%s %j is refused', (option, value) => {
    const read = readOptions([...ARGS, option, value], {});
    expect(read.ok ? read.value : read.error).toContain(option);
  });

  test('a key twice is refused', () => {
    expect(readOptions([...ARGS, '--label', 'a=1', '--label', 'a=2'], {})).toEqual({
      ok: false,
      error: '--label names a key twice',
    });
  });
});
