import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** What the house rules look at: texts by path from the root, with forward slashes. */
export interface Repository {
  /** Where it lies on this machine: a path that must not show in it. */
  readonly root: string;
  readonly files: ReadonlyMap<string, string>;
}

/** A house rule: the offenders, each as `path: what is wrong`; none when the rule is kept. */
export type Rule = (repository: Repository) => string[];

/** Everything that git knows or would add; binary files with an empty text, so that links to them are found. */
export function readRepository(root: string): Repository {
  const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
  });
  const files = new Map<string, string>();
  for (const file of new Set(listed.split('\0'))) {
    const full = path.join(root, file);
    if (file === '' || !existsSync(full)) continue;
    const text = readFileSync(full, 'utf8');
    files.set(file, text.includes('\0') ? '' : text);
  }
  return { root, files };
}

export const PUBLISHED = ['locks', 'state', 'assemble', 'manager'];

/** Paths and texts whose path matches. */
export const matching = (repository: Repository, pattern: RegExp): [path: string, text: string][] =>
  [...repository.files].filter(([file]) => pattern.test(file));

export const lineOf = (text: string, position: number): number => text.slice(0, position).split('\n').length;
