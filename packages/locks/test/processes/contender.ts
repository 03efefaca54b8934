// One process of the arena: fifty contenders for one key, each of them reads a counter, adds one and writes it, under
// the lock and nothing else. It never asks whether it still has the lock: that is what fencing is for.
import { isLockError } from '@chunks/locks';
import { leaseLocker } from '@chunks/locks/lease';
import { openStore, type StoreAddress } from './stores.ts';

/** What a process is told when it is started, as JSON. */
export interface ContenderTask {
  readonly address: StoreAddress;
  readonly contenders: number;
  readonly leaseMs: number;
}

/** What a contender says to the arena, and waits for the answer to. */
export type Question =
  | { readonly ask: 'granted'; readonly token: number }
  | { readonly ask: 'read'; readonly token: number }
  | { readonly ask: 'write'; readonly token: number; readonly seen: Seen }
  | { readonly ask: 'leaving'; readonly token: number }
  | { readonly ask: 'left'; readonly token: number; readonly wasOurs: boolean | 'unknown' }
  | { readonly ask: 'failed'; readonly code: string };

/** Both counters, as they were read. */
export interface Seen {
  readonly fenced: number;
  readonly unfenced: number;
}

const { address, contenders, leaseMs } = JSON.parse(process.argv[2] ?? '') as ContenderTask;
const waiting = new Map<number, (answer: unknown) => void>();
let asked = 0;
let isOver = false;

process.on('message', (message: 'finish' | { id: number; answer: unknown }) => {
  if (message === 'finish') {
    isOver = true;
    return;
  }
  waiting.get(message.id)?.(message.answer);
  waiting.delete(message.id);
});
// Nobody to contend for.
process.on('disconnect', () => process.exit(1));

function ask<Answer = unknown>(question: Question): Promise<Answer> {
  const id = ++asked;
  process.send?.({ id, ...question });
  return new Promise((resolve) => waiting.set(id, resolve as (answer: unknown) => void));
}

/** Busy never shows, bad luck with the store does: told, and then tried again. */
async function failed(error: unknown): Promise<void> {
  await ask({ ask: 'failed', code: isLockError(error) ? error.code : String(error) });
  await new Promise((resolve) => setTimeout(resolve, 20));
}

/** Who is started while the server is away comes in when it is back. */
async function opened(): ReturnType<typeof openStore> {
  try {
    return await openStore(address);
  } catch {
    await new Promise((resolve) => setTimeout(resolve, 50));
    return opened();
  }
}

const { driver, close } = await opened();
const locker = leaseLocker(driver, { leaseMs });

async function contend(): Promise<void> {
  while (!isOver) {
    const lock = await locker.acquire('counter').catch(failed);
    if (!lock) continue;
    const { token } = lock;
    await ask({ ask: 'granted', token });
    const seen = await ask<Seen>({ ask: 'read', token });
    await ask({ ask: 'write', token, seen });
    await ask({ ask: 'leaving', token });
    let wasOurs: boolean | 'unknown' = 'unknown';
    try {
      wasOurs = await lock.release();
    } catch (error) {
      await failed(error);
    }
    await ask({ ask: 'left', token, wasOurs });
  }
}

await Promise.all(Array.from({ length: contenders }, contend));
await locker.close();
await driver.close?.();
await close();
process.exit(0);
