import { memoryStore, type VersionedStore } from '@chunks/state';
import { describe, expect, test } from 'vitest';
import { forgettingIsReported, killSoak, type MortalBench } from './kill-soak.ts';

type Records = Map<string, { value: string; revision: string }>;
type Flaw = 'none' | 'forgets' | 'doubles' | 'ignores expected';

const lost = (): Error => new Error('the connection was cut');

/** A server in this process, which keeps its records through a kill, or has a flaw. */
function server(flaw: Flaw): MortalBench {
  let records: Records = new Map();
  let kept: Records = new Map();
  let writes = 0;
  let conflicts = 0;
  let life = 1;
  let wrote = (): void => undefined;
  const turn = async (): Promise<void> => {
    await new Promise((resolve) => setTimeout(resolve, 1));
    if (life === 0) throw lost();
  };
  const store: VersionedStore = {
    ...memoryStore(),
    async read(key) {
      await turn();
      return records.get(key);
    },
    async write(key, value, expected) {
      await turn();
      const began = life;
      const isOther = records.get(key)?.revision !== expected;
      if (isOther && (flaw !== 'ignores expected' || ++conflicts % 3 > 0)) return { conflict: true };
      const stored =
        flaw === 'doubles' && ++writes % 50 === 0 ? value.replace(/"([^"]+)"\]\}\}$/, '"$1","$1"]}}') : value;
      const revision = String(++writes);
      records.set(key, { value: stored, revision });
      if (flaw !== 'forgets') kept = new Map(records);
      wrote();
      await new Promise((resolve) => setTimeout(resolve, 1));
      // Written, and the reply is lost.
      if (life !== began) throw lost();
      return { revision };
    },
  };
  return {
    server: {
      async kill() {
        // Between a write and its reply, where it hurts, if anybody writes.
        await new Promise<void>((resolve) => {
          wrote = resolve;
          setTimeout(resolve, 50);
        });
        life = 0;
        records = new Map(kept);
      },
      async start() {
        life = ++writes;
      },
    },
    open: () => ({ store, end: () => undefined }),
  };
}

describe('the soak of kills', () => {
  test('a server that keeps what it acknowledged passes', async () => {
    const report = await killSoak(server('none'), { kills: 3 });
    expect(report.kills).toBe(3);
    expect(report.acknowledged).toBeGreaterThan(60);
    expect(report.recovered + report.ambiguousApplied).toBeGreaterThan(0);
  });

  test.each<Flaw>(['forgets', 'doubles', 'ignores expected'])('one that %s is caught', async (flaw) => {
    await expect(killSoak(server(flaw), { kills: 2 })).rejects.toThrow(/lost or doubled|went back/);
  });

  test('forgetting is reported, and a server that does not forget is no example of it', async () => {
    await forgettingIsReported(server('forgets'));
    await expect(forgettingIsReported(server('none'))).rejects.toThrow();
  });
});
