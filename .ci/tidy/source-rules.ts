import ts from 'typescript';
import { matching, type Repository } from './repository.ts';
import { holdsNoCode, lineAt, neutralTests, parse, walk } from './source.ts';

const PACKAGE_SOURCE = /^packages\/[^/]+\/src\/.*\.ts$/;
const SHIPPED_CODE = /^(packages\/[^/]+\/src|examples\/[^/]+\/(src|page)|\.ci)\/(?!.*\.test\.ts$).*\.[cm]?[jt]s$/;

const MAX_FILE_LINES = 285;
const MAX_FUNCTION_LINES = 70;

export function filesStayShort(repository: Repository): string[] {
  return matching(repository, PACKAGE_SOURCE).flatMap(([file, text]) => {
    const lines = text.replace(/\n$/, '').split('\n').length;
    return lines > MAX_FILE_LINES ? [`${file}: ${lines} lines, ${MAX_FILE_LINES} at most`] : [];
  });
}

export function functionsStayShort(repository: Repository): string[] {
  return matching(repository, SHIPPED_CODE).flatMap(([file, text]) => {
    const tree = parse(file, text);
    const offenders: string[] = [];
    walk(tree, (node) => {
      if (!ts.isFunctionLike(node) || !('body' in node) || node.body === undefined) return;
      const line = lineAt(tree, node);
      const lines = tree.getLineAndCharacterOfPosition(node.end).line + 2 - line;
      if (lines > MAX_FUNCTION_LINES) {
        offenders.push(`${file}:${line}: a function of ${lines} lines, ${MAX_FUNCTION_LINES} at most`);
      }
    });
    return offenders;
  });
}

const TEST_ENDINGS = ['.test.ts', '.node.test.ts', '.workers.test.ts'];

/** Errors, types and lists of exports aside, what stands in src/a/b.ts is proved in test/a/b.test.ts. */
export function everySourceHasItsTest(repository: Repository): string[] {
  return matching(repository, PACKAGE_SOURCE)
    .filter(([file, text]) => !/\/(index|errors|[^/]*-error)\.ts$/.test(file) && !holdsNoCode(file, text))
    .map(([file]) => [file, file.replace('/src/', '/test/').replace(/\.ts$/, '')] as const)
    .filter(([, test]) => !TEST_ENDINGS.some((ending) => repository.files.has(test + ending)))
    .map(([file, test]) => `${file}: no ${test}.test.ts, nor .node.test.ts, nor .workers.test.ts`);
}

export function noAnyInTypes(repository: Repository): string[] {
  return matching(repository, PACKAGE_SOURCE).flatMap(([file, text]) => {
    const tree = parse(file, text);
    const offenders: string[] = [];
    walk(tree, (node) => {
      if (node.kind === ts.SyntaxKind.AnyKeyword) offenders.push(`${file}:${lineAt(tree, node)}: any`);
    });
    return offenders;
  });
}

const CLOCK = 'packages/base/src/clock.ts';
const CALLS = new Set(['Date.now', 'setTimeout', 'setInterval', 'Math.random']);

/** Time and chance come in as options. `random = Math.random` without a call is the default of such an option. */
export function timeAndChanceComeIn(repository: Repository): string[] {
  return matching(repository, PACKAGE_SOURCE).flatMap(([file, text]) => {
    if (file === CLOCK) return [];
    const tree = parse(file, text);
    const offenders: string[] = [];
    walk(tree, (node) => {
      const isNow = ts.isNewExpression(node) && node.expression.getText(tree) === 'Date' && !node.arguments?.length;
      const called = ts.isCallExpression(node) ? node.expression.getText(tree).replace(/^globalThis\./, '') : '';
      if (isNow || CALLS.has(called)) {
        offenders.push(`${file}:${lineAt(tree, node)}: ${isNow ? 'new Date()' : `${called}()`}`);
      }
    });
    return offenders;
  });
}

const NODE_GLOBALS = new Set(['process', 'Buffer', '__dirname', '__filename', 'require']);

/** A test that is to run in a browser names nothing that only Node has, nor does what it imports. */
export function neutralTestsUseNoNodeGlobals(repository: Repository): string[] {
  return [...neutralTests(repository)].flatMap((file) => {
    if (!/^packages\/[^/]+\/test\//.test(file)) return [];
    const tree = parse(file, repository.files.get(file) ?? '');
    const offenders: string[] = [];
    walk(tree, (node) => {
      if (!ts.isIdentifier(node) || !NODE_GLOBALS.has(node.text)) return;
      const { parent } = node;
      const isMember =
        (ts.isPropertyAccessExpression(parent) || ts.isPropertyAssignment(parent) || ts.isPropertySignature(parent)) &&
        parent.name === node;
      if (!isMember) offenders.push(`${file}:${lineAt(tree, node)}: ${node.text}`);
    });
    return offenders;
  });
}
