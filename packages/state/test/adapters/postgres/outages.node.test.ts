import { FaultProxy } from '@chunks/base/testing';
import { postgresStore } from '@chunks/state/postgres';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { OwnServer } from '../../../../../.ci/testing/own-server.ts';
import { isSoak, onRealTime } from '../../../../../.ci/testing/runs.ts';
import { describeWith } from '../../../../../.ci/testing/with-service.ts';
import { forgettingIsReported, killSoak, type MortalBench } from '../../support/kill-soak.ts';
import { losesNothing, plainLoopDoubles, throughProxy } from '../../support/lost-replies.ts';
import { CONNECTION, ignore, openClient, openPool, tableOfTest } from './clients.ts';

describeWith('postgres', 'postgresStore behind a link that loses replies', () => {
  /** Each process with a pool of pg as it is by default. */
  async function link() {
    const proxy = await FaultProxy.before(CONNECTION.port);
    const table = tableOfTest();
    const pools: pg.Pool[] = [];
    onTestFinished(async () => {
      for (const pool of pools) await pool.end();
      await proxy.close();
    });
    return throughProxy(proxy, () => {
      const pool = new pg.Pool({ ...CONNECTION, port: proxy.port });
      pool.on('error', ignore);
      pools.push(pool);
      return postgresStore(pool, { table });
    });
  }

  it('every 7th of 1000: none lost, none doubled, none failed', async () => losesNothing(await link()));
  it('the plain loop doubles there', async () => plainLoopDoubles(await link(), { updates: 200 }));
});

describeWith('postgres', 'postgresStore on a server that is killed', () => {
  let server: OwnServer;
  beforeAll(async () => {
    server = await OwnServer.postgres();
  });
  afterAll(() => server.close());

  /** @param options of each connection */
  const mortal = (options = ''): MortalBench => {
    const table = `t_${crypto.randomUUID().slice(0, 8)}`;
    return {
      server: { kill: () => server.kill('SIGKILL'), start: () => server.start() },
      async open() {
        const { client, end } = await openPool({ port: server.port, database: 'postgres', options });
        return { store: postgresStore(client, { table }), end };
      },
    };
  };

  it('nothing that was acknowledged is lost, and nothing is done twice', async () => {
    const report = await killSoak(mortal(), { kills: isSoak ? 20 : 2 });
    console.log(`postgres: ${JSON.stringify(report)}`);
    expect(report.acknowledged).toBeGreaterThan(20 * report.kills);
  });

  describe('and does not wait for its disk', () => {
    beforeAll(async () => {
      const { client, end } = await openClient({ port: server.port, database: 'postgres' });
      // What is not written by itself for so long is lost.
      await client.query("ALTER SYSTEM SET wal_writer_delay = '10s'", []);
      await end();
      // Told to read it anew, the one that writes would do so at some time.
      await server.kill('SIGKILL');
      await server.start();
    });

    // On a machine that holds its breath for so long nothing is forgotten.
    it('what it forgets is reported', onRealTime, () => forgettingIsReported(mortal('-c synchronous_commit=off')));
  });
});
