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
