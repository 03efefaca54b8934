import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import type { StateStub } from '@chunks/state/durable-object';
import { describe, expect, test } from 'vitest';

let objects = 0;
const fresh = (): StateStub => env.STATES.get(env.STATES.idFromName(`state object ${++objects}`));

/** Status, revision and body. */
async function ask(
  stub: StateStub,
  method: string,
  expected?: string,
  body?: string,
): Promise<[number, string, string]> {
  const headers: Record<string, string> = expected === undefined ? {} : { 'if-match': expected };
  const answer = await stub.fetch('https://object/', { method, headers, ...(body !== undefined && { body }) });
  return [answer.status, answer.headers.get('etag') ?? '', await answer.text()];
}

describe('StateObject', () => {
  test('a PUT or DELETE without a condition is for a record that must not exist', async () => {
    const stub = fresh();
    expect(await ask(stub, 'GET')).toEqual([204, '', '']);
    expect(await ask(stub, 'DELETE')).toEqual([204, '', '']);
    const [status, revision, body] = await ask(stub, 'PUT', undefined, '{"a":1}');
    expect([status, body]).toEqual([200, '']);
    expect(await ask(stub, 'PUT', undefined, '2')).toEqual([412, revision, '{"a":1}']);
    expect(await ask(stub, 'DELETE')).toEqual([412, revision, '{"a":1}']);
    expect(await ask(stub, 'GET')).toEqual([200, revision, '{"a":1}']);
  });

  test('with one it is for that revision', async () => {
    const stub = fresh();
    expect(await ask(stub, 'PUT', 'none', '1')).toEqual([412, '', '']);
    const [, first] = await ask(stub, 'PUT', undefined, '1');
    const [, second] = await ask(stub, 'PUT', first, '1');
    expect(second).not.toBe(first);
    expect(await ask(stub, 'PUT', first, '3')).toEqual([412, second, '1']);
    expect(await ask(stub, 'DELETE', first)).toEqual([412, second, '1']);
    expect(await ask(stub, 'DELETE', second)).toEqual([204, '', '']);
    expect(await ask(stub, 'DELETE', second)).toEqual([412, '', '']);
    expect(await ask(stub, 'GET')).toEqual([204, '', '']);
  });

  test.each(['POST', 'PATCH', 'OPTIONS'])('%s is nothing it does', async (method) => {
    const stub = fresh();
    expect(await ask(stub, method)).toEqual([405, '', '']);
    expect(await ask(stub, 'GET')).toEqual([204, '', '']);
  });

  test('the record is one row, in which SQLite can read', async () => {
    const stub = fresh();
    const [, first] = await ask(stub, 'PUT', undefined, '{"state":{"n":1}}');
    const [, revision] = await ask(stub, 'PUT', first, '{"state":{"n":7}}');
    const rows = await runInDurableObject(stub, (_, { storage }) =>
      storage.sql.exec("SELECT revision, json_extract(value, '$.state.n') AS n FROM chunks_state").toArray(),
    );
    expect(rows).toEqual([{ revision, n: 7 }]);
  });

  test('of 100 that come at once on one revision one is first', async () => {
    const stub = fresh();
    const all = await Promise.all(Array.from({ length: 100 }, (_, i) => ask(stub, 'PUT', undefined, `${i}`)));
    expect(all.filter(([status]) => status === 200)).toHaveLength(1);
    const winner = all.findIndex(([status]) => status === 200);
    expect((await ask(stub, 'GET'))[2]).toBe(`${winner}`);
  });
});
