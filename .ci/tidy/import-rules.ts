import { matching, PUBLISHED, type Repository } from './repository.ts';
import { type Import, importsOf, neutralTests, reachable, resolveImport } from './source.ts';

const PACKAGE_CODE = /^packages\/[^/]+\/(src|test|bench)\/.*\.[cm]?[jt]s$/;
const PACKAGE_SOURCE = /^packages\/[^/]+\/src\/.*\.ts$/;
const EVERY_CODE = /\.[cm]?[jt]s$/;

const packageOf = (file: string): string => file.split('/')[1] as string;
const isRelative = (specifier: string): boolean => specifier.startsWith('.');

/** `packages/x/src/adapters/sqlite.ts` and `…/adapters/sqlite/schema.ts` are both of the adapter `sqlite`. */
const adapterOf = (file: string): string | undefined =>
  /^packages\/[^/]+\/src\/adapters\/([^/]+?)(?:\.ts|\/.*)$/.exec(file)?.[1];

function offending(repository: Repository, where: RegExp, isWrong: (file: string, one: Import) => boolean): string[] {
  return matching(repository, where).flatMap(([file, text]) =>
    importsOf(file, text)
      .filter((one) => isWrong(file, one))
      .map(({ specifier, line }) => `${file}:${line}: imports ${specifier}`),
  );
}

/** Examples wire the four packages; they themselves know nothing of one another. */
export function packagesNeverImportEachOther(repository: Repository): string[] {
  return offending(repository, PACKAGE_CODE, (file, { specifier }) => {
    const other = isRelative(specifier)
      ? /^packages\/([^/]+)\//.exec(resolveImport(file, specifier))?.[1]
      : /^@chunks\/([^/]+)/.exec(specifier)?.[1];
    return other !== undefined && other !== 'base' && other !== packageOf(file);
  });
}

/** No dependency at run time, and no file from outside the package, except the base that is bundled. */
export function sourcesImportOnlyTheirOwnAndBase(repository: Repository): string[] {
  return offending(repository, PACKAGE_SOURCE, (file, { specifier }) => {
    const own = `packages/${packageOf(file)}/src/`;
    if (isRelative(specifier)) return !resolveImport(file, specifier).startsWith(own);
    if (specifier.startsWith('node:')) return false;
    return packageOf(file) === 'base' || !/^@chunks\/base(\/testing)?$/.test(specifier);
  });
}

/** base → core → adapters: never the other way round. */
export function coreNeverImportsAdapters(repository: Repository): string[] {
  return offending(
    repository,
    PACKAGE_SOURCE,
    (file, { specifier }) =>
      adapterOf(file) === undefined &&
      isRelative(specifier) &&
      resolveImport(file, specifier).includes('/src/adapters/'),
  );
}

/** One adapter, one file or folder, one subpath: taking one never drags in another. */
export function adaptersNeverImportEachOther(repository: Repository): string[] {
  return offending(repository, PACKAGE_SOURCE, (file, { specifier }) => {
    const [own, other] = [adapterOf(file), adapterOf(resolveImport(file, specifier))];
    return own !== undefined && isRelative(specifier) && other !== undefined && other !== own;
  });
}

const NODE_ADAPTERS = ['sqlite', 'fs', 'store-file', 'deadlock', 'diagnostics', 'tus'];
// The part of assemble that runs anywhere is whatever these reach.
const NEUTRAL_ENTRIES = ['packages/assemble/src/range.ts', 'packages/assemble/src/http.ts'];

/** Cores run unchanged in Node, Bun, Deno, workerd and browsers, and so do the tests that prove it. */
export function nodeOnlyWhereItIsAllowed(repository: Repository): string[] {
  const neutralSources = reachable(repository, NEUTRAL_ENTRIES);
  const neutralTestFiles = neutralTests(repository);
  const mustBeNeutral = (file: string): boolean => {
    if (/^packages\/[^/]+\/test\//.test(file)) return neutralTestFiles.has(file);
    if (!/^packages\/[^/]+\/src\//.test(file)) return false;
    if (packageOf(file) === 'assemble') return neutralSources.has(file);
    return !NODE_ADAPTERS.includes(adapterOf(file) ?? '');
  };
  return offending(
    repository,
    EVERY_CODE,
    (file, { specifier }) => specifier.startsWith('node:') && mustBeNeutral(file),
  );
}

/** Every name a manifest may publish under stands in one list, so that no package escapes the rules above. */
export function everyPackageIsKnown(repository: Repository): string[] {
  return matching(repository, /^packages\/[^/]+\/package\.json$/)
    .map(([file]) => file)
    .filter((file) => ![...PUBLISHED, 'base'].includes(packageOf(file)))
    .map((file) => `${file}: is not in the tidy rules' list of packages`);
}
