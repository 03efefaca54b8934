import { parseArgs } from 'node:util';

export interface StudioOptions {
  readonly host: string;
  readonly port: number;
  /** undefined: `.studio-data` in the working folder, or the next free name when another studio has it. */
  readonly data?: string | undefined;
  readonly allowOrigins: readonly string[];
  readonly token?: string | undefined;
  readonly chunkSizeBytes: number;
  readonly cacheChunkSizeBytes: number;
  readonly cacheBytes: number;
  readonly maxFileBytes: number;
  readonly originPaceBytesPerSecond: number;
  readonly originLatencyMs: number;
}

export interface CommandLine extends StudioOptions {
  readonly help: boolean;
  /** Files to test with; undefined when it is no self-test. */
  readonly selfTest?: readonly string[] | undefined;
  readonly seed?: number | undefined;
}

/** What a person typed wrong: told in one line, exit code 2. */
export class UsageError extends Error {}

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

export const USAGE: string = `Usage: npm start -- [options]
  --port N               port to listen on, the next free one when it is taken (8787; 0 = any)
  --host ADDRESS         address to listen on (127.0.0.1)
  --data DIR             where uploads, files, cache and batch record lie (.studio-data)
  --token TEXT           ask every request for this token
  --allow-origin URL     let pages of that origin call this server; may be given several times
  --chunk-size BYTES     upload chunks (${8 * MIB})
  --cache-chunk-size BYTES  cache chunks (${10 * MIB})
  --cache-bytes BYTES    what the cache may hold on disk (${4 * GIB})
  --max-file-bytes BYTES largest file taken (${64 * GIB})
  --origin-pace BYTES    built-in origin, bytes per second; 0 = as fast as it goes (${8 * MIB})
  --origin-latency MS    built-in origin, delay of each answer (40)
  --self-test [FILE…]    drive the whole way without a browser, with its own samples or with these files
  --seed N               random seed of the self-test
  --help`;

function parse(args: readonly string[]): ReturnType<typeof rawArgs> {
  try {
    return rawArgs(args);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

const text = { type: 'string' } as const;
const flag = { type: 'boolean' } as const;

const rawArgs = (args: readonly string[]) =>
  parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      port: text,
      host: text,
      data: text,
      token: text,
      'allow-origin': { type: 'string', multiple: true },
      'chunk-size': text,
      'cache-chunk-size': text,
      'cache-bytes': text,
      'max-file-bytes': text,
      'origin-pace': text,
      'origin-latency': text,
      'self-test': flag,
      seed: text,
      help: flag,
    },
  });

function integer(name: string, value: string | undefined, fallback: number, min: number, max: number): number {
  if (value === undefined) return fallback;
  const number = /^\d+$/.test(value) ? Number(value) : Number.NaN;
  if (number >= min && number <= max) return number;
  throw new UsageError(`--${name} must be a whole number from ${min} to ${max}, but is ${value}`);
}

function origin(value: string): string {
  if (URL.canParse(value) && new URL(value).origin === value) return value;
  throw new UsageError(`--allow-origin must be an origin such as https://example.org, but is ${value}`);
}

/** @throws UsageError naming the option, the rule and the value */
export function readOptions(args: readonly string[]): CommandLine {
  const { values, positionals } = parse(args);
  const [stray] = positionals;
  if (values['self-test'] !== true && stray !== undefined) {
    throw new UsageError(`${stray} is not an option; files go with --self-test`);
  }
  if (values.host === '') throw new UsageError('--host must not be empty');
  if (values.token !== undefined && !/^[\x21-\x7e]{8,200}$/.test(values.token)) {
    throw new UsageError('--token must be 8 to 200 printable characters without spaces');
  }
  return {
    help: values.help === true,
    selfTest: values['self-test'] === true ? positionals : undefined,
    seed: values.seed === undefined ? undefined : integer('seed', values.seed, 0, 0, 2 ** 32 - 1),
    host: values.host ?? '127.0.0.1',
    port: integer('port', values.port, 8787, 0, 65_535),
    data: values.data,
    token: values.token,
    allowOrigins: (values['allow-origin'] ?? []).map(origin),
    chunkSizeBytes: integer('chunk-size', values['chunk-size'], 8 * MIB, 1024, GIB),
    cacheChunkSizeBytes: integer('cache-chunk-size', values['cache-chunk-size'], 10 * MIB, 1024, GIB),
    cacheBytes: integer('cache-bytes', values['cache-bytes'], 4 * GIB, 1, Number.MAX_SAFE_INTEGER),
    maxFileBytes: integer('max-file-bytes', values['max-file-bytes'], 64 * GIB, 1, Number.MAX_SAFE_INTEGER),
    originPaceBytesPerSecond: integer('origin-pace', values['origin-pace'], 8 * MIB, 0, 2 ** 40),
    originLatencyMs: integer('origin-latency', values['origin-latency'], 40, 0, 60_000),
  };
}
