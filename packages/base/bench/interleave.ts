// Benchmarks that can be compared: every contender runs once a round, the order rotates from round to round, the first
// rounds are dropped, and ratios are taken inside a round, where a busy machine slows both sides alike.

/** One side of a comparison. */
export interface Contender {
  readonly name: string;
  /** Untimed, before each run. */
  readonly before?: (() => unknown) | undefined;
  /** One run. Returns nothing and is timed from outside, or returns its own figure, in any unit. */
  readonly run: () => number | void | Promise<number | void>;
  /** Untimed, after each run. */
  readonly after?: (() => unknown) | undefined;
}

/** What a contender scored. */
export interface Score {
  readonly name: string;
  /** The figures of the rounds that counted, in order. */
  readonly values: readonly number[];
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** Median of this contender ÷ reference, taken round by round. */
  readonly ratio: number;
}

export interface InterleaveOptions {
  /** Name of the contender that the ratios are relative to. @default the first */
  readonly reference?: string | undefined;
  /** Rounds that count, at least 5. @default 9 */
  readonly rounds?: number | undefined;
  /** Rounds before them that do not count. @default 3 */
  readonly drop?: number | undefined;
}

/** The middle value, or the mean of the two middle ones. */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('median needs at least one value');
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] as number;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2;
}

async function measure(contender: Contender): Promise<number> {
  await contender.before?.();
  const startMs = performance.now();
  const own = await contender.run();
  const tookMs = performance.now() - startMs;
  await contender.after?.();
  return own ?? tookMs;
}

/** Runs all contenders in rotation. Figures are ms unless a contender returns its own. */
export async function interleave(contenders: readonly Contender[], options: InterleaveOptions = {}): Promise<Score[]> {
  const { rounds = 9, drop = 3, reference = contenders[0]?.name } = options;
  if (rounds < 5) throw new RangeError(`rounds must be at least 5, but is ${rounds}`);
  const baseline = contenders.findIndex((contender) => contender.name === reference);
  if (baseline === -1) throw new RangeError(`reference must name a contender, but is ${reference}`);
  const values: number[][] = contenders.map(() => []);
  for (let round = 0; round < drop + rounds; round++) {
    for (let turn = 0; turn < contenders.length; turn++) {
      const index = (round + turn) % contenders.length;
      const value = await measure(contenders[index] as Contender);
      if (round >= drop) values[index]?.push(value);
    }
  }
  const base = values[baseline] as number[];
  return contenders.map(({ name }, index) => score(name, values[index] as number[], base));
}

/** A score out of figures that were taken elsewhere, for example in fresh processes. */
export function score(name: string, values: readonly number[], base: readonly number[]): Score {
  const ratios = values.map((value, round) => value / (base[round] as number));
  return {
    name,
    values,
    median: median(values),
    min: Math.min(...values),
    max: Math.max(...values),
    ratio: median(ratios),
  };
}

const figure = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));

/** The scores as a markdown table. @param unit what the figures are. @default 'ms' */
export function table(title: string, scores: readonly Score[], unit = 'ms'): string {
  const rows = scores.map(
    (s) => `| ${s.name} | ${figure(s.median)} | ${figure(s.min)}–${figure(s.max)} | ${s.ratio.toFixed(2)} |`,
  );
  return [`| ${title} | median ${unit} | min–max | ratio |`, '|-|-:|-:|-:|', ...rows, ''].join('\n');
}

/** {@link interleave}, then prints the {@link table}. */
export async function compare(
  title: string,
  contenders: readonly Contender[],
  options: InterleaveOptions & { readonly unit?: string | undefined } = {},
): Promise<Score[]> {
  const scores = await interleave(contenders, options);
  console.log(table(title, scores, options.unit));
  return scores;
}
