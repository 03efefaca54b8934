import { type Deferred, deferred } from '@chunks/base';
import type { LockManager } from '@chunks/locks/web-locks';
import fc from 'fast-check';

/** What the callback of a request does: first its acts, at once, then the end of its section. */
export interface Section {
  readonly inside: readonly Act[];
  readonly end: 'value' | 'promise' | 'slow' | 'rejection' | 'throw' | 'thenable' | 'hold';
}

/** What is done at one instant, by the program or inside a section. `pick` chooses among those there are by then. */
export type Act =
  | { readonly do: 'request'; readonly name: number; readonly kind: Kind; readonly section: Section }
  | { readonly do: 'release' | 'fail'; readonly pick: number }
  | { readonly do: 'abort'; readonly pick: number; readonly reason: unknown }
  | { readonly do: 'query' };

type Kind =
  | 'exclusive'
  | 'shared'
  | 'exclusive if available'
  | 'shared if available'
  | 'steal'
  | 'exclusive until'
  | 'shared until'
  | 'too late';

/** Acts, and after each so many ticks of the microtask queue. */
export type Program = readonly { readonly act: Act; readonly ticks: number }[];

const kind: fc.Arbitrary<Kind> = fc.oneof(
  { weight: 5, arbitrary: fc.constant<Kind>('exclusive') },
  { weight: 5, arbitrary: fc.constant<Kind>('shared') },
  { weight: 2, arbitrary: fc.constantFrom<Kind>('exclusive if available', 'shared if available') },
  { weight: 1, arbitrary: fc.constant<Kind>('steal') },
  { weight: 4, arbitrary: fc.constantFrom<Kind>('exclusive until', 'shared until') },
  { weight: 1, arbitrary: fc.constant<Kind>('too late') },
);
const end = fc.constantFrom<Section['end']>('value', 'promise', 'slow', 'rejection', 'throw', 'thenable');
const pick = fc.nat(11);
const reason = fc.constantFrom<unknown>(undefined, 0, 'enough', null);

const quickAct: fc.Arbitrary<Act> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('release' as const, 'fail' as const), pick }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('abort' as const), pick, reason }) },
  { weight: 1, arbitrary: fc.constant({ do: 'query' as const }) },
);

function sections(depth: number, maxLength: number): fc.Arbitrary<Section> {
  const inside = depth === 0 ? fc.constant<Act[]>([]) : fc.array(actsOf(depth - 1), { maxLength });
  const ends = fc.oneof({ weight: 3, arbitrary: fc.constant<Section['end']>('hold') }, { weight: 2, arbitrary: end });
  return fc.record({ inside, end: ends });
}

function actsOf(depth: number): fc.Arbitrary<Act> {
  const section = sections(depth, 2);
  const request = fc.record({ do: fc.constant('request' as const), name: fc.nat(2), kind, section });
  return fc.oneof({ weight: 3, arbitrary: request }, { weight: 2, arbitrary: quickAct });
}

const steps = (maxLength: number): fc.Arbitrary<Program> =>
  fc.array(fc.record({ act: actsOf(2), ticks: fc.oneof(fc.constant(0), fc.nat(6)) }), { minLength: 1, maxLength });

const bare: Section = { inside: [], end: 'hold' };
const holder: Act = { do: 'request', name: 0, kind: 'exclusive', section: bare };

/** Several who share wait behind one and are let in together: each that begins makes requests before the next does. */
const crowds: fc.Arbitrary<Program> = fc
  .tuple(fc.array(sections(1, 3), { minLength: 2, maxLength: 5 }), steps(5))
  .map(([waiters, rest]) => [
    { act: holder, ticks: 0 },
    ...waiters.map((section) => ({ act: { do: 'request', name: 0, kind: 'shared', section }, ticks: 0 }) as const),
    { act: { do: 'release', pick: 0 }, ticks: 3 },
    ...rest,
  ]);

/** Up to twenty acts over three names, with requests inside of sections inside of sections. */
export const programs: fc.Arbitrary<Program> = fc.oneof(
  { weight: 3, arbitrary: steps(20) },
  { weight: 1, arbitrary: crowds },
);

type Fate = 'waiting' | 'in' | 'over';

interface Attempt {
  readonly id: number;
  readonly controller: AbortController;
  fate: Fate;
  hold: Deferred<unknown> | undefined;
}

const MODES: Record<Kind, { mode?: 'shared' | 'exclusive'; ifAvailable?: true; steal?: true }> = {
  exclusive: {},
  shared: { mode: 'shared' },
  'exclusive if available': { ifAvailable: true },
  'shared if available': { ifAvailable: true, mode: 'shared' },
  steal: { steal: true },
  'exclusive until': { mode: 'exclusive' },
  'shared until': { mode: 'shared' },
  'too late': {},
};
const withSignal = (one: Kind): boolean => one.endsWith('until') || one === 'too late';

/** One run of a program on one lock manager: what happened, in order, each with the tick in which it did. */
export class Run {
  readonly log: string[] = [];
  readonly #manager: LockManager;
  readonly #prefix: string;
  readonly #abortsWaiting: boolean;
  readonly #attempts: Attempt[] = [];
  #tick = 0;

  /** @param abortsWaiting whether an abort may meet one who waits; else it picks among those who do not any more */
  constructor(manager: LockManager, prefix: string, abortsWaiting: boolean) {
    this.#manager = manager;
    this.#prefix = prefix;
    this.#abortsWaiting = abortsWaiting;
  }

  async play(program: Program): Promise<string[]> {
    for (const { act, ticks } of program) {
      this.#act(act);
      await this.#pass(ticks);
    }
    // Whoever is let in by the last releases holds, too.
    for (let round = 0; round < 200 && this.#attempts.some(({ fate }) => fate !== 'over'); round++) {
      for (const { hold } of this.#attempts) hold?.resolve('drained');
      await this.#pass(6);
    }
    this.#act({ do: 'query' });
    await this.#pass(6);
    const open = this.#attempts.filter(({ fate }) => fate !== 'over').map(({ id }) => id);
    if (open.length > 0) throw new Error(`never over: ${open.join()}; ${this.log.join('; ')}`);
    return this.log;
  }

  async #pass(ticks: number): Promise<void> {
    for (let i = 0; i < ticks; i++) {
      await undefined;
      this.#tick++;
    }
  }

  #tell(what: string): void {
    this.log.push(`${this.#tick}: ${what}`);
  }

  #act(act: Act): void {
    if (act.do === 'request') this.#request(act);
    else if (act.do === 'query') this.#query();
    else if (act.do === 'abort') {
      const attempt = this.#pick(act.pick, ({ fate }) => this.#abortsWaiting || fate !== 'waiting');
      attempt?.controller.abort(act.reason);
    } else {
      const attempt = this.#pick(act.pick, ({ fate, hold }) => fate === 'in' && hold !== undefined);
      if (act.do === 'release') attempt?.hold?.resolve('let go');
      else attempt?.hold?.reject(new RangeError('failed'));
    }
  }

  #pick(pick: number, fits: (attempt: Attempt) => boolean): Attempt | undefined {
    const fitting = this.#attempts.filter(fits);
    return fitting[pick % fitting.length];
  }

  #request({ name, kind: how, section }: Act & { do: 'request' }): void {
    const controller = new AbortController();
    const attempt: Attempt = { id: this.#attempts.length, controller, fate: 'waiting', hold: undefined };
    this.#attempts.push(attempt);
    if (how === 'too late') controller.abort(new EvalError('too late'));
    const options = withSignal(how) ? { ...MODES[how], signal: controller.signal } : MODES[how];
    const settled = this.#manager.request(`${this.#prefix}${name}`, options, (lock) => {
      attempt.fate = 'in';
      this.#tell(
        `${attempt.id} in, ${lock === null ? 'without' : `${lock.name.slice(this.#prefix.length)} ${lock.mode}`}`,
      );
      for (const act of section.inside) this.#act(act);
      return this.#end(attempt, section.end, lock === null || withSignal(how));
    });
    this.#tell(`${attempt.id} asked`);
    settled.then(
      (value) => this.#over(attempt, `over with ${String(value)}`),
      (error) => this.#over(attempt, `over by ${this.#describe(error)}`),
    );
  }

  #over(attempt: Attempt, how: string): void {
    attempt.fate = 'over';
    this.#tell(`${attempt.id} ${how}`);
  }

  #describe(error: unknown): string {
    if (!(error instanceof Error)) return String(error);
    return `${error.name}${error instanceof DOMException ? ` (${error.code})` : ''}`;
  }

  // What Node does with a throw or a foreign promise under a bare lock is not to be had: an async one takes its place.
  #end(attempt: Attempt, how: Section['end'], anything: boolean): unknown {
    switch (how) {
      case 'value':
        return { of: attempt.id };
      case 'promise':
        return Promise.resolve(`promise ${attempt.id}`);
      case 'slow':
        return (async () => {
          await this.#slow();
          return 'slow';
        })();
      case 'rejection':
        return Promise.reject(new SyntaxError('rejected'));
      case 'throw':
        if (!anything) return Promise.reject(new URIError('thrown'));
        throw new URIError('thrown');
      case 'thenable':
        if (!anything) return Promise.resolve('native');
        // biome-ignore lint/suspicious/noThenProperty: it is what is tried.
        return { then: (resolve: (value: string) => void) => resolve('foreign') };
      case 'hold':
        attempt.hold = deferred();
        return attempt.hold.promise;
    }
  }

  async #slow(): Promise<void> {
    await undefined;
    await undefined;
  }

  #query(): void {
    const asked = this.log.length;
    this.#manager.query().then(({ held, pending }) => {
      const show = ({ name, mode }: { name?: string; mode?: string }): string =>
        `${name?.slice(this.#prefix.length)} ${mode}`;
      const ours = ({ name }: { name?: string }): boolean => name?.startsWith(this.#prefix) === true;
      // Over several names Node gives holders in the order of a hash table; the sort is stable, so in each name's order.
      const byName = held
        .filter(ours)
        .map(show)
        .sort((a, b) => Number(a[0]) - Number(b[0]));
      this.#tell(`asked at ${asked}: held ${byName.join()}; pending ${pending.filter(ours).map(show).join()}`);
    });
  }
}
