// The web-platform-tests as the package `navigator.locks` ships them for its own polyfill, run from where they are
// installed: with this lock manager in the polyfill's place, and vitest in jest's.
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { createLockManager, type LockManager } from '@chunks/locks/web-locks';
import { transformSync } from 'esbuild';
import { describe, expect, it, vi } from 'vitest';

const require = createRequire(import.meta.url);
const home = path.dirname(require.resolve('navigator.locks/package.json'));
const files = readdirSync(path.join(home, 'test')).filter((file) => file.endsWith('.test.ts'));

const FOR_PAGES =
  'the polyfill’s locks live in localStorage and have to end with their page; ours live and end in memory';
const FOR_HEARTBEAT = 'tells pages that share the polyfill’s localStorage who is alive; nothing is shared here';
const EXCEPTIONS: Record<string, Record<string, string>> = {
  'bfcache.test.ts': {
    'uses pagehide instead of unload for lifecycle cleanup': FOR_PAGES,
    'releases this client’s held locks on non-BFCache pagehide': FOR_PAGES,
    'does not release this client’s held locks when pagehide enters bfcache': FOR_PAGES,
    'does not destroy heartbeat when pagehide enters bfcache': FOR_HEARTBEAT,
    'destroys heartbeat on non-BFCache pagehide': FOR_HEARTBEAT,
  },
  'heartBeat.test.ts': {
    'clears both intervals when the heartbeat callback loses window': FOR_HEARTBEAT,
    'does not run stale-client detection after window is unavailable': FOR_HEARTBEAT,
  },
};

// Shipped without a body.
const EMPTY = 'query() reports different ids for held locks from different contexts';

let names = 0;

/** What their helpers make with `new LockManager()`. */
class Polyfill {
  readonly #manager = createLockManager();

  request(...args: Parameters<LockManager['request']>): Promise<unknown> {
    const settled = this.#manager.request(...args);
    // Some leave a rejection unhandled on purpose: jest looks away, vitest does not.
    settled.catch(() => undefined);
    return settled;
  }

  query(): Promise<unknown> {
    return this.#manager.query();
  }
}

const polyfill = { LockManager: Polyfill, generateRandomId: () => `name ${++names}` };

/** They expect the words of jsdom, where an abort without a reason says this. */
class PageAbortController extends AbortController {
  override abort(reason: unknown = new DOMException('The operation was aborted.', 'AbortError')): void {
    super.abort(reason);
  }
}

const localStorage = { clear: () => undefined, removeItem: () => undefined };
const page = {
  localStorage,
  window: { localStorage },
  self: globalThis,
  AbortController: PageAbortController,
  jest: vi,
};

type Globals = Record<string, unknown>;

/** Runs one of their files; what it imports of the polyfill itself is ours. */
function load(file: string, globals: Globals): unknown {
  if (file === 'src/polyfill') return polyfill;
  const name = file.endsWith('.ts') ? file : `${file}.ts`;
  const { code } = transformSync(readFileSync(path.join(home, name), 'utf8'), { loader: 'ts', format: 'cjs' });
  const module = { exports: {} };
  const beside = (to: string): unknown => load(path.posix.join(path.posix.dirname(name), to), globals);
  const scope = { ...globals, module, exports: module.exports, require: beside };
  new Function(...Object.keys(scope), code)(...Object.values(scope));
  return module.exports;
}

/** The names of the tests in a file, which are not run. */
function testsIn(file: string): string[] {
  const found: string[] = [];
  const collect = { describe: (_: string, body: () => void) => body(), test: (name: string) => void found.push(name) };
  const hook = (): void => undefined;
  load(`test/${file}`, { ...page, ...collect, expect, beforeEach: hook, afterEach: hook });
  return found;
}

// Many of them expect something in a `catch` alone: one that expects nothing in the end has failed.
const test = (name: string, body: () => unknown): void =>
  it(name, () => {
    if (name !== EMPTY) expect.hasAssertions();
    return body() as Promise<void>;
  });

for (const file of files.filter((one) => EXCEPTIONS[one] === undefined)) {
  describe(file, () => void load(`test/${file}`, { ...page, describe, test, expect }));
}

describe('of the tests shipped', () => {
  it('each is run but those excepted, of which each has its reason', () => {
    const excepted = Object.entries(EXCEPTIONS).map(([file, tests]) => [file, Object.keys(tests)] as const);
    for (const [file, tests] of excepted) {
      expect(testsIn(file).map((name) => name.replaceAll("'", '’'))).toEqual(tests);
    }
    const run = files.filter((file) => EXCEPTIONS[file] === undefined).flatMap(testsIn);
    expect([files.length, run.length]).toEqual([14, 63]);
  });
});
