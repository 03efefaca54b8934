import path from 'node:path';
import ts from 'typescript';
import { matching, PUBLISHED, type Repository } from './repository.ts';
import { parse, walk } from './source.ts';

type Conditions = Record<string, string>;
interface Manifest {
  readonly exports?: Record<string, Conditions | string>;
  readonly publishConfig?: { readonly exports?: Record<string, Conditions | string> };
  readonly dependencies?: Conditions;
  readonly devDependencies?: Conditions;
  readonly optionalDependencies?: Conditions;
}

const SOURCE = '@chunks/source';
const manifestOf = (repository: Repository, name: string): Manifest =>
  JSON.parse(repository.files.get(`packages/${name}/package.json`) ?? '{}') as Manifest;
const subpathsOf = (manifest: Manifest): [subpath: string, conditions: Conditions][] =>
  Object.entries(manifest.exports ?? {}).filter((entry): entry is [string, Conditions] => typeof entry[1] === 'object');

/** What is published is what the workspace uses, but for the condition that points at the sources. */
export function publishedExportsAgree(repository: Repository): string[] {
  return PUBLISHED.flatMap((name) => {
    const manifest = manifestOf(repository, name);
    const wanted = Object.entries(manifest.exports ?? {}).map(([subpath, conditions]) => {
      if (typeof conditions === 'string') return [subpath, conditions];
      const { [SOURCE]: _, ...rest } = conditions;
      return [subpath, rest];
    });
    const published = Object.entries(manifest.publishConfig?.exports ?? {});
    return JSON.stringify(wanted) === JSON.stringify(published)
      ? []
      : [`packages/${name}/package.json: publishConfig.exports is not exports without ${SOURCE}`];
  });
}

/** Each subpath has sources, and a bundle of that name is built from them. */
export function everySubpathIsBuilt(repository: Repository): string[] {
  return PUBLISHED.flatMap((name) => {
    const file = `packages/${name}/tsup.config.ts`;
    const entries = tsupEntries(file, repository.files.get(file) ?? '');
    return subpathsOf(manifestOf(repository, name)).flatMap(([subpath, conditions]) => {
      const bundle = subpath === '.' ? 'index' : subpath.slice(2);
      const source = entries.get(bundle);
      const isRight =
        source !== undefined &&
        conditions[SOURCE] === `./${source}` &&
        conditions['types'] === `./dist/${bundle}.d.ts` &&
        conditions['default'] === `./dist/${bundle}.js` &&
        repository.files.has(`packages/${name}/${source}`);
      return isRight ? [] : [`${file}: nothing builds ${subpath} of package.json from its source`];
    });
  });
}

/** The properties of all object literals of the file: name of the bundle → entry file. */
function tsupEntries(file: string, text: string): Map<string, string> {
  const entries = new Map<string, string>();
  walk(parse(file, text), (node) => {
    if (!ts.isPropertyAssignment(node) || !ts.isStringLiteralLike(node.initializer)) return;
    const { name } = node;
    if (ts.isIdentifier(name) || ts.isStringLiteralLike(name)) entries.set(name.text, node.initializer.text);
  });
  return entries;
}

const REFERENCE = '/// <reference lib="esnext.disposable" preserve="true" />';

/** Without it `Symbol.asyncDispose` in our types would not compile for users of an older lib. */
export function entriesNameTheDisposableLib(repository: Repository): string[] {
  return [...PUBLISHED, 'base'].flatMap((name) =>
    subpathsOf(manifestOf(repository, name))
      .map(([, conditions]) => path.posix.join('packages', name, conditions[SOURCE] ?? 'no source'))
      .filter((file) => repository.files.get(file)?.split('\n')[0] !== REFERENCE)
      .map((file) => `${file}: does not begin with ${REFERENCE}`),
  );
}

/** Peers aside, whose ranges are wide by intent. */
export function oneVersionPerDependency(repository: Repository): string[] {
  const versions = new Map<string, Map<string, string[]>>();
  for (const [file, text] of matching(repository, /(^|\/)package\.json$/)) {
    const { dependencies, devDependencies, optionalDependencies } = JSON.parse(text) as Manifest;
    for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies })) {
      // A place in the workspace is no version.
      if (/^(workspace|link|file):/.test(version)) continue;
      const byVersion = versions.get(name) ?? new Map<string, string[]>();
      byVersion.set(version, [...(byVersion.get(version) ?? []), file]);
      versions.set(name, byVersion);
    }
  }
  return [...versions]
    .filter(([, byVersion]) => byVersion.size > 1)
    .map(([name, byVersion]) => {
      const uses = [...byVersion].map(([version, files]) => `${version} in ${files.join(', ')}`);
      return `${name}: ${uses.join('; ')}`;
    });
}
