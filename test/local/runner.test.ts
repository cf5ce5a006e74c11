import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunnerOptions } from '../../local/options.ts';
import { startRunner } from '../../local/runner.ts';
import type { Runner } from '../../local/runner.ts';

/** `npm start` without its data nodes: real files, a real port. */
let dataDir: string;
const open: Runner[] = [];
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'shardkeeper-runner-'));
});
afterEach(async () => {
  for (const runner of open.splice(0)) await runner.stop();
  rmSync(dataDir, { recursive: true, force: true });
});

const OPTIONS: RunnerOptions = {
  port: 0,
  dataDir: '',
  nodes: 0,
  zones: 3,
  lease: 'fast',
  relays: 0,
  deadNodes: 'leave',
};
async function start(options: Partial<RunnerOptions> = {}): Promise<Runner> {
  const runner = await startRunner({ ...OPTIONS, dataDir, ...options }, () => undefined);
  open.push(runner);
  return runner;
}
const get = (runner: Runner, path: string, token = runner.adminToken) =>
  fetch(runner.url + path, { headers: { authorization: `Bearer ${token}` } });

/** Sends bytes as they are and gives what comes back: for requests that no HTTP client would send. */
const sendRaw = (port: number, text: string): Promise<string> =>
  new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(port, '127.0.0.1', () => socket.end(text));
    socket.on('data', (chunk) => (answer += chunk.toString()));
    socket.on('end', () => resolve(answer));
    socket.on('error', reject);
  });

test('the admin token survives a restart, with the data', async () => {
  const first = await start();
  expect(first.adminTokenIsNew).toBe(true);
  const created = await fetch(`${first.url}/cluster/join-tokens`, {
    method: 'POST',
    headers: { authorization: `Bearer ${first.adminToken}` },
    body: '{}',
  });
  const { join_token } = (await created.json()) as { join_token: string };
  await first.stop();
  const second = await start();
  expect(second.adminTokenIsNew).toBe(false);
  expect(second.adminToken).toBe(first.adminToken);
  const registered = await fetch(`${second.url}/cluster/nodes/register`, {
    method: 'POST',
    headers: { authorization: `Bearer ${join_token}` },
    body: JSON.stringify({ node_id: 'node-1', host: '127.0.0.1', port: 7001, zone: 'a' }),
  });
  expect(registered.status).toBe(200);
});

test('secrets are readable by their owner only', async () => {
  const { directory } = await start();
  for (const file of [
    directory.adminTokenFile,
    directory.joinTokenFile,
    join(directory.path, 'keys', 'control-plane.pem'),
  ]) {
    expect(statSync(file).mode & 0o777).toBe(0o600);
  }
  expect(readFileSync(directory.adminTokenFile, 'utf8').trim()).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+$/);
});

test('a second runner on the same directory is refused, and does no harm to the first', async () => {
  const first = await start();
  await expect(start()).rejects.toThrow(`Another runner works on ${dataDir}`);
  expect((await get(first, '/cluster/health')).status).toBe(200);
});

test('a taken port is refused; the directory is free again afterwards', async () => {
  const first = await start();
  const port = Number(new URL(first.url).port);
  const other = mkdtempSync(join(tmpdir(), 'shardkeeper-runner-'));
  try {
    await expect(start({ port, dataDir: other })).rejects.toThrow(`Port ${port} is taken`);
    await start({ dataDir: other });
  } finally {
    await open.pop()?.stop();
    rmSync(other, { recursive: true, force: true });
  }
});

test('a directory that can’t be made is refused', async () => {
  const file = join(dataDir, 'file');
  writeFileSync(file, '');
  await expect(start({ dataDir: join(file, 'below') })).rejects.toThrow("can't be written");
});

test('a damaged key is refused, not replaced', async () => {
  await (await start()).stop();
  open.pop();
  writeFileSync(join(dataDir, 'keys', 'control-plane.pem'), 'nonsense');
  await expect(start()).rejects.toThrow('holds no usable key');
});

describe('the front door', () => {
  test('serves the status page, locked down', async () => {
    const runner = await start();
    const page = await fetch(runner.url);
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(page.headers.get('content-security-policy')).toMatch(/default-src 'none'; script-src 'sha256-/);
    const html = await page.text();
    expect(html).toContain('<title>Shardkeeper</title>');
    expect(html).not.toMatch(/innerHTML|https?:\/\/(?!\.\.\.)|\son\w+=/);
  });

  test('answers what no HTTP client would send without a 5xx', async () => {
    const runner = await start();
    const port = Number(new URL(runner.url).port);
    const tooLarge = `POST /tables HTTP/1.1\r\nHost: x\r\nContent-Length: 20000000\r\n\r\n${'x'.repeat(11_000_000)}`;
    for (const request of [
      'GET /routes/%E0%A4%A HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
      'GET /cluster/nodes?a=%FF HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
      'GET http://evil/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
      'nonsense\r\n\r\n',
    ]) {
      expect(await sendRaw(port, request)).toMatch(/^HTTP\/1\.1 4\d\d /);
    }
    expect(await sendRaw(port, tooLarge).catch(() => 'HTTP/1.1 413 (connection closed)')).toMatch(/^HTTP\/1\.1 413 /);
    expect((await get(runner, '/healthz')).status).toBe(200);
  });
});
