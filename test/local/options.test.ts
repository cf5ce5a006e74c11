import { readOptions, StartError } from '../../local/options.ts';
import { planNodes } from '../../local/node-processes.ts';

const DEFAULTS = {
  port: 8080,
  dataDir: '.data',
  nodes: 5,
  zones: 3,
  lease: 'standard',
  relays: 0,
  deadNodes: 'restart',
};

test.each<[readonly string[], Record<string, string>, object]>([
  [[], {}, {}],
  [[], { PORT: '9000' }, { port: 9000 }],
  [['--port', '9001'], { PORT: '9000' }, { port: 9001 }],
  [[], { PORT: '' }, {}],
  [['--nodes', '9', '--zones', '2', '--lease', 'fast'], {}, { nodes: 9, zones: 2, lease: 'fast' }],
  [['--no-nodes'], {}, { nodes: 0 }],
  [['--relays', '2'], {}, { relays: 2 }],
  [['--no-restart', '--data-dir', '/tmp/x'], {}, { deadNodes: 'leave', dataDir: '/tmp/x' }],
])('%j with %j', (args, environment, expected) => {
  expect(readOptions(args, environment)).toEqual({ ...DEFAULTS, ...expected });
});

test.each<[readonly string[], Record<string, string>, string]>([
  [['--port', 'x'], {}, '--port must be a whole number from 0 to 65535'],
  [['--port', '70000'], {}, '--port must be'],
  [[], { PORT: 'http' }, 'PORT must be'],
  [['--nodes', '-1'], {}, '--nodes'],
  [['--nodes', '51'], {}, '--nodes must be a whole number from 0 to 50'],
  [['--zones', '0'], {}, '--zones'],
  [['--lease', 'slow'], {}, '--lease must be fast, standard or economy, not "slow"'],
  [['--relays', '6'], {}, '--relays must be a whole number from 0 to 5'],
  [['--color'], {}, '--color'],
  [['extra'], {}, 'extra'],
])('%j with %j is refused: %s', (args, environment, message) => {
  const read = () => readOptions(args, environment);
  expect(read).toThrow(StartError);
  expect(read).toThrow(message);
});

test('help is asked for', () => expect(readOptions(['--help'], {})).toBeNull());

test('nodes are dealt out over zones', () => {
  expect(planNodes(5, 3)).toEqual([
    { nodeId: 'node-101', zone: 'a', relaying: 'none' },
    { nodeId: 'node-102', zone: 'b', relaying: 'none' },
    { nodeId: 'node-103', zone: 'c', relaying: 'none' },
    { nodeId: 'node-104', zone: 'a', relaying: 'none' },
    { nodeId: 'node-105', zone: 'b', relaying: 'none' },
  ]);
});

test('the first nodes relay, the others are dealt out over them', () => {
  expect(planNodes(5, 3, 2).map(({ relaying }) => relaying)).toEqual([
    'relay',
    'relay',
    { through: 'node-101' },
    { through: 'node-102' },
    { through: 'node-101' },
  ]);
});
