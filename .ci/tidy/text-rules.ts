import path from 'node:path';
import { lineOf, matching, PUBLISHED, type Repository } from './repository.ts';

const README_HEADINGS = ['Install', 'Guarantees', 'Limits', 'Comparison'];
const FIRST_CODE_BY_LINE = 25;
const PACKAGE_READMES = PUBLISHED.map((name) => `packages/${name}/README.md`);

/** Who opens a README sees code on the first screen. */
export function readmesShowCodeAtOnce(repository: Repository): string[] {
  return ['README.md', ...PACKAGE_READMES].flatMap((file) => {
    const text = repository.files.get(file);
    if (text === undefined) return [`${file}: is missing`];
    const line = text.split('\n').findIndex((one) => one.startsWith('```')) + 1;
    if (line === 0) return [`${file}: shows no code`];
    return line > FIRST_CODE_BY_LINE ? [`${file}:${line}: the first code is below line ${FIRST_CODE_BY_LINE}`] : [];
  });
}

export function readmesHaveTheirSections(repository: Repository): string[] {
  return PACKAGE_READMES.flatMap((file) => {
    const titles = withoutCode(repository.files.get(file) ?? '')
      .split('\n')
      .flatMap((line) => /^#{2,3} (.*?)\s*$/.exec(line)?.[1] ?? []);
    return README_HEADINGS.filter((heading) => !titles.includes(heading)).map(
      (heading) => `${file}: no section "${heading}"`,
    );
  });
}

/** Same length, so that positions stay right. */
const withoutCode = (markdown: string): string =>
  markdown.replace(/^(```+|~~~+)[\s\S]*?^\1|`[^`\n]*`/gm, (code) => code.replace(/[^\n]/g, ' '));

// Put together here, so that the rule does not find itself.
const LEFTOVER = new RegExp(`\\b(?:${['TO' + 'DO', 'FIX' + 'ME', 'X'.repeat(3)].join('|')})\\b`, 'g');

/** What is left to do is an issue, not a comment. */
export function nothingIsLeftToDo(repository: Repository): string[] {
  // The lockfile's digests spell what they like.
  return everyMatch(repository, LEFTOVER).filter((offender) => !offender.startsWith('pnpm-lock.yaml:'));
}

// A path from the root of somebody's machine: not after a letter, dot or slash, where it would be part of a URL or of
// a relative path.
const MACHINE_PATH = /(?<![\w.~:/@$}*-])\/(?:home|root|Users|work|workspace|mnt|private|var\/folders)\/[\w.-]+/g;
const WINDOWS_PATH = /\b[A-Z]:\\{1,2}Users\\{1,2}\w+/g;

/** The repository is the same wherever it was written. */
export function noMachineShows(repository: Repository): string[] {
  const { root } = repository;
  // The root itself too, whatever it is called, unless it is too short to mean anything.
  const own = root.split(/[\\/]/).length > 2 ? [new RegExp(root.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'), 'g')] : [];
  const found = [MACHINE_PATH, WINDOWS_PATH, ...own].flatMap((pattern) => everyMatch(repository, pattern));
  return [...new Set(found)];
}

const REGISTRY =
  /\b(?:registry|npm|verdaccio|nexus|artifactory|mirror)\.[\w-]+\.[\w.-]+(?::\d+)?|\btarball: *https?:\S+/g;
// Names a place to look a package up, not one to install from.
const PUBLIC = / www\.npmjs\.com$/;

/** Where packages come from is for whoever installs to say. */
export function noRegistryIsNamed(repository: Repository): string[] {
  return everyMatch(repository, REGISTRY).filter((offender) => !PUBLIC.test(offender));
}

function everyMatch({ files }: Repository, pattern: RegExp): string[] {
  return [...files].flatMap(([file, text]) =>
    [...text.matchAll(pattern)].map((match) => `${file}:${lineOf(text, match.index)}: ${match[0]}`),
  );
}

const LINKS = [
  /\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)/g,
  /^\[[^\]]+\]:\s*(\S+)/gm,
  /<(?:img|a)\s[^>]*?(?:src|href)="([^"]+)"/g,
];

/** A relative link leads to a file or folder that is in the repository. */
export function linksLeadSomewhere(repository: Repository): string[] {
  const paths = new Set<string>(['.']);
  for (const file of repository.files.keys()) {
    for (let at = file; at !== '.'; at = path.posix.dirname(at)) paths.add(at);
  }
  return matching(repository, /\.md$/).flatMap(([file, text]) =>
    LINKS.flatMap((pattern) => [...withoutCode(text).matchAll(pattern)]).flatMap((match) => {
      const target = decodeURIComponent((match[1] as string).replace(/[#?].*$/, ''));
      if (target === '' || /^[a-z][a-z0-9+.-]*:/i.test(match[1] as string)) return [];
      const resolved = path.posix.normalize(path.posix.join(path.posix.dirname(file), target)).replace(/\/$/, '');
      return paths.has(resolved)
        ? []
        : [`${file}:${lineOf(text, match.index)}: leads to ${resolved}, which is not there`];
    }),
  );
}
