import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { threadId } from 'node:worker_threads';

// Nothing but its age can tell whether a run on another machine still lives; a live one writes all the time.
const FOREIGN_DEAD_MS = 60 * 60_000;

/**
 * A mark in the names of temporary files that says who is writing them, so that a later run can tell debris from
 * work: machine, boot and process name space, process, its start, thread. The start guards against a process id that
 * was given again (in a container the server is number 1 every time).
 */
const TAG = /^([0-9a-f]{8})-([0-9a-f]{8})-(\d+)-(\d+)-(\d+)-([0-9a-f]{12})$/;

const short = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 8);

const attempt = (read: () => string): string => {
  try {
    return read();
  } catch {
    return '';
  }
};

/** When a process started, in the kernel's ticks; undefined when there is none (or only its corpse); '0' when unknown. */
function startOf(pid: number): string | undefined {
  const stat = attempt(() => readFileSync(`/proc/${pid}/stat`, 'latin1'));
  if (stat !== '') {
    // The name in brackets may hold spaces and brackets itself: fields count from the last one.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : (fields[19] ?? '0');
  }
  try {
    process.kill(pid, 0);
    return '0';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM' ? '0' : undefined;
  }
}

let own: string | undefined;

function ownPrefix(): string {
  own ??= [
    short(hostname()),
    short(
      attempt(() => readFileSync('/proc/sys/kernel/random/boot_id', 'latin1')) +
        attempt(() => readlinkSync('/proc/self/ns/pid')),
    ),
    process.pid,
    startOf(process.pid) ?? '0',
    threadId,
  ].join('-');
  return own;
}

const live = new Set<string>();

/** A mark of this thread, alive until it is released. */
export interface Mark {
  readonly tag: string;
  release(): void;
}

export function newMark(): Mark {
  const tag = `${ownPrefix()}-${randomBytes(6).toString('hex')}`;
  live.add(tag);
  return { tag, release: () => void live.delete(tag) };
}

/**
 * Whether the run that made this mark is over. A wrong "yes" costs that run an error when it publishes, never a wrong
 * file: every run writes to a name of its own.
 * @param idleMs since the marked file was last written
 */
export function isOver(tag: string, idleMs: number): boolean {
  const [, host, boot, pid, start, thread] = TAG.exec(tag) ?? [];
  if (host === undefined) return false;
  const [ownHost, ownBoot, ownPid, ownStart, ownThread] = ownPrefix().split('-');
  if (host !== ownHost) return idleMs > FOREIGN_DEAD_MS;
  if (boot !== ownBoot) return true;
  if (pid === ownPid && start === ownStart) return thread === ownThread && !live.has(tag);
  const running = startOf(Number(pid));
  return running === undefined || running !== start;
}
