import { calls } from '../../shared/contracts/api/index.ts';
import type { CallName } from '../../shared/contracts/api/index.ts';
import type { Call } from '../../shared/contracts/api/call.ts';
import { seededRandom } from '../simulation/random.ts';
import type { SeededRandom } from '../simulation/random.ts';
import { curlLine, judge } from './judge.ts';
import type { Finding, Verdict } from './judge.ts';
import { Knowledge } from './knowledge.ts';
import { drawRequest } from './requests.ts';
import type { FuzzRequest, RequestValues } from './requests.ts';
import { Tokens } from './tokens.ts';
import { changeWeather } from './weather.ts';
import { withFuzzWorld } from './world.ts';
import type { FuzzWorld, WireAnswer } from './world.ts';

/** A run of many requests, and what it found. */

export interface CampaignOptions {
  readonly requests: number;
  readonly seed: number | string;
  readonly onFailure?: (failure: Failure) => void;
  /** Told of each request before it is sent: what a run that hangs hangs on. */
  readonly onRequest?: (at: number, request: string) => void;
  readonly onProgress?: (done: number) => void;
}

export interface Failure extends Finding {
  /** Number of the request in its run, from 1. */
  readonly at: number;
  readonly status: number;
  readonly request: string;
}

export interface CampaignReport {
  readonly requests: number;
  readonly byStatus: Readonly<Record<string, number>>;
  readonly fiveXx: number;
  readonly outsideContract: number;
  readonly changedWhenRefused: number;
  readonly letIn: number;
  readonly replays: number;
  readonly covered: readonly CallName[];
  readonly uncovered: readonly CallName[];
  /** Answers by call and status. */
  readonly byCall: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly operations: Readonly<Record<string, number>>;
  /** What went wrong behind requests: failures that were logged, 5xx that nodes met. */
  readonly behind: readonly string[];
  readonly virtualSeconds: number;
  readonly failures: readonly Failure[];
  readonly pass: boolean;
}

/** Failures that are kept with their requests; all are counted. */
const FAILURES_KEPT_MAX = 100;
/** Requests that are kept to be sent again, and plans to be applied. */
const KEPT_MAX = 50;
const REPEAT_RATE = 0.03;
const FOLLOW_RATE = 0.06;
/** How often a call is chosen that nobody has answered with 200 yet, while there is one. */
const UNCOVERED_RATE = 0.15;
/** Answers so large that reading them would take most of the time of a run. */
const RARE: ReadonlySet<CallName> = new Set(['openapi']);
const RARE_RATE = 0.03;
const CALL_NAMES = Object.keys(calls) as CallName[];

interface Done {
  readonly request: FuzzRequest;
  readonly answer: WireAnswer;
}

export function runCampaign(options: CampaignOptions): Promise<CampaignReport> {
  return withFuzzWorld(options.seed, (world) => new Campaign(options, world).run());
}

class Campaign {
  private readonly options: CampaignOptions;
  private readonly world: FuzzWorld;
  private readonly random: SeededRandom;
  private readonly tokens: Tokens;
  private readonly knowledge = new Knowledge();
  private readonly byStatus = new Map<string, number>();
  private readonly byCall = new Map<CallName, Map<number, number>>();
  private readonly covered = new Set<CallName>();
  private readonly failures: Failure[] = [];
  private readonly counts = { FIVE_XX: 0, OUTSIDE_CONTRACT: 0, CHANGED_WHEN_REFUSED: 0, LET_IN: 0 };
  private readonly keyed: Done[] = [];
  private readonly followUps: { readonly name: CallName; readonly values: RequestValues }[] = [];
  private replays = 0;
  private at = 0;

  constructor(options: CampaignOptions, world: FuzzWorld) {
    this.options = options;
    this.world = world;
    this.random = seededRandom(`fuzz/${options.seed}`);
    this.tokens = new Tokens(world, this.random.fork('tokens'));
  }

  async run(): Promise<CampaignReport> {
    await this.prepare();
    for (this.at = 1; this.at <= this.options.requests; this.at++) {
      await this.step();
      if (this.at % 1_000 === 0) this.options.onProgress?.(this.at);
    }
    return this.report();
  }

  /** Three tables over the nodes that have registered. */
  private async prepare(): Promise<void> {
    await this.world.pass(10_000);
    const admin = this.world.adminToken();
    const tables = [
      { table: 'cities', pre_split: ['d', 'h', 'm', 'r', 'w'] },
      { table: 'numbers', key_type: 'int64', pre_split: ['-1000', '0', '1000'] },
      { table: 'plain', replication_factor: 1 },
    ];
    for (const body of tables) await this.world.ask('POST', '/tables', admin, body);
    await this.world.pass(20_000);
    for (const path of ['/tables', '/shards', '/operations']) {
      this.knowledge.learn('listShards', (await this.world.ask('GET', path, admin)).body);
    }
    if (this.knowledge.shards.size < 11) throw new Error('the world did not come up');
  }

  private async step(): Promise<void> {
    const { random, world } = this;
    if (this.keyed.length > 0 && random.chance(REPEAT_RATE)) await this.repeat(random.pick(this.keyed));
    else {
      const planned = this.followUps.length > 0 && random.chance(FOLLOW_RATE);
      // Mostly the newest plan; an older one may be out of date.
      const at = random.chance(0.7) ? this.followUps.length - 1 : random.below(this.followUps.length);
      const follow = planned ? this.followUps.splice(at, 1)[0] : undefined;
      const parts = { world, knowledge: this.knowledge, tokens: this.tokens, random };
      const request = await drawRequest(parts, follow?.name ?? this.chooseCall(), follow?.values);
      await this.send(request);
    }
    await changeWeather(world, this.knowledge, random);
  }

  private chooseCall(): CallName {
    const { random } = this;
    if (this.covered.size < CALL_NAMES.length && random.chance(UNCOVERED_RATE)) {
      return random.pick(CALL_NAMES.filter((name) => !this.covered.has(name)));
    }
    const name = random.pick(CALL_NAMES);
    return RARE.has(name) && !random.chance(RARE_RATE) ? 'listShards' : name;
  }

  private async send(request: FuzzRequest): Promise<{ answer: WireAnswer; verdict: Verdict }> {
    this.options.onRequest?.(this.at, curlLine(request));
    const answer = await this.world.send(request.wire);
    const verdict = judge(request, answer);
    this.count(request, answer, verdict);
    if (answer.status === 200 && verdict.call !== null) this.takeIn(request, verdict.body);
    const code = verdict.body['code'];
    if (typeof code === 'string' && code.endsWith('_NOT_FOUND') && this.random.chance(0.7)) {
      for (const id of Object.values(request.values.params)) if (typeof id === 'string') this.knowledge.forget(id);
    }
    if (request.key !== null && request.token.mayCall) this.keepKeyed({ request, answer });
    return { answer, verdict };
  }

  private count(request: FuzzRequest, answer: WireAnswer, { call, findings }: Verdict): void {
    const status = String(answer.status);
    this.byStatus.set(status, (this.byStatus.get(status) ?? 0) + 1);
    if (call === calls[request.name]) {
      const answers = this.byCall.get(request.name) ?? new Map<number, number>();
      this.byCall.set(request.name, answers.set(answer.status, (answers.get(answer.status) ?? 0) + 1));
      if (answer.status === 200) this.covered.add(request.name);
    }
    for (const finding of findings) this.fail(request, answer, finding);
  }

  private fail(request: FuzzRequest, answer: WireAnswer, finding: Finding): void {
    this.counts[finding.kind] += 1;
    const failure: Failure = { ...finding, at: this.at, status: answer.status, request: curlLine(request) };
    if (this.failures.length < FAILURES_KEPT_MAX) this.failures.push(failure);
    this.options.onFailure?.(failure);
  }

  private takeIn(request: FuzzRequest, body: Readonly<Record<string, unknown>>): void {
    const { name, values } = request;
    if (!RARE.has(name)) this.knowledge.learn(name, body);
    if (name === 'registerNode') this.world.puppets.registered(String(body['node_id']), body);
    const asked = values.body;
    if (typeof asked !== 'object' || asked === null || !('dry_run' in asked) || asked.dry_run !== true) return;
    // What a dry run planned may be applied exactly so: the fields that its answer and the request have in common.
    const shape = (calls[name] as Call).body;
    const plans = Object.entries(body).filter(([field]) => field === 'plan' || field === 'plans');
    if (shape === undefined || plans.length === 0) return;
    const { dry_run: _dry, ...rest } = asked as Readonly<Record<string, unknown>>;
    const consent = name === 'recoverShards' ? { acknowledge_data_loss: true } : {};
    this.followUps.push({ name, values: { ...values, body: { ...rest, ...Object.fromEntries(plans), ...consent } } });
    if (this.followUps.length > KEPT_MAX) this.followUps.shift();
  }

  private keepKeyed(done: Done): void {
    this.keyed.push(done);
    if (this.keyed.length > KEPT_MAX) this.keyed.shift();
  }

  /** The same key again: with the same request the same answer, with another one a refusal (I-11). */
  private async repeat({ request, answer: first }: Done): Promise<void> {
    const isOther = this.random.chance(0.3);
    const wire = isOther ? { ...request.wire, body: '{"nonsense":1}', base64: false } : request.wire;
    const { answer, verdict } = await this.send({ ...request, key: null, wire });
    if (isOther || verdict.call !== calls[request.name]) return;
    const isFinal = first.status < 429 && first.headers['retry-after'] === undefined;
    const wasTaken = first.headers['idempotency-replayed'] !== undefined || first.status === 200;
    if (!isFinal || !wasTaken) return;
    this.replays += 1;
    const same = answer.status === first.status && withoutRequestId(answer.text) === withoutRequestId(first.text);
    if (!same || answer.changes.length > 0) {
      const what = `I-11: answered ${first.status} ${first.text.slice(0, 300)}, then ${answer.status} ${answer.text.slice(0, 300)}, which wrote ${answer.changes.length} items`;
      this.fail(request, answer, { kind: 'OUTSIDE_CONTRACT', what });
    }
  }

  private report(): CampaignReport {
    const operations = new Map<string, number>();
    for (const { type, status } of this.knowledge.operations.values()) {
      operations.set(`${type} ${status}`, (operations.get(`${type} ${status}`) ?? 0) + 1);
    }
    const behind = [
      ...[...this.world.errors].map(([event, count]) => `${count} x ${event}`),
      ...this.world.nodeComplaints.slice(0, FAILURES_KEPT_MAX),
    ];
    const findings = Object.values(this.counts).reduce((sum, count) => sum + count, 0);
    const uncovered = CALL_NAMES.filter((name) => !this.covered.has(name));
    const sorted = <T>(map: ReadonlyMap<string, T>): Record<string, T> =>
      Object.fromEntries([...map].sort(([left], [right]) => (left < right ? -1 : 1)));
    return {
      requests: this.options.requests,
      byStatus: sorted(this.byStatus),
      fiveXx: this.counts.FIVE_XX + this.world.nodeComplaints.length,
      outsideContract: this.counts.OUTSIDE_CONTRACT,
      changedWhenRefused: this.counts.CHANGED_WHEN_REFUSED,
      letIn: this.counts.LET_IN,
      replays: this.replays,
      covered: [...this.covered],
      uncovered,
      byCall: Object.fromEntries([...this.byCall].map(([name, answers]) => [name, Object.fromEntries(answers)])),
      operations: sorted(operations),
      behind,
      virtualSeconds: Math.round(this.world.time.nowMs() / 1000),
      failures: this.failures,
      pass: findings === 0 && behind.length === 0 && uncovered.length === 0,
    };
  }
}

/** Problems carry the id of their own request. */
const withoutRequestId = (text: string): string => text.replace(/"request_id":"[^"]*"/, '');
