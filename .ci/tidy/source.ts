import path from 'node:path';
import ts from 'typescript';
import { matching, type Repository } from './repository.ts';

export interface Import {
  readonly specifier: string;
  readonly line: number;
}

const cache = new Map<string, ts.SourceFile>();

/** The syntax tree, parsed once per text. */
export function parse(file: string, text: string): ts.SourceFile {
  const known = cache.get(file);
  if (known?.text === text) return known;
  const tree = ts.createSourceFile(file, text, ts.ScriptTarget.ESNext, true);
  cache.set(file, tree);
  return tree;
}

/** Calls back for every node, the outermost first. */
export function walk(node: ts.Node, visit: (node: ts.Node) => void): void {
  visit(node);
  node.forEachChild((child) => walk(child, visit));
}

/** Static, re-exporting, type-only, dynamic and `import('…')` in types: whatever names another module. */
export function importsOf(file: string, text: string): Import[] {
  const tree = parse(file, text);
  const found: Import[] = [];
  const add = (node: ts.Node | undefined): void => {
    if (node === undefined || !ts.isStringLiteralLike(node)) return;
    found.push({ specifier: node.text, line: lineAt(tree, node) });
  };
  walk(tree, (node) => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) add(node.moduleSpecifier);
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) add(node.arguments[0]);
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node.argument.literal);
  });
  return found;
}

export const lineAt = (tree: ts.SourceFile, node: ts.Node): number =>
  tree.getLineAndCharacterOfPosition(node.getStart(tree)).line + 1;

/** The file that a relative import means, as a path from the root. */
export const resolveImport = (from: string, specifier: string): string =>
  path.posix.normalize(path.posix.join(path.posix.dirname(from), specifier));

/** Whether there is nothing in the file to prove: only types, and what it hands on from other files. */
export function holdsNoCode(file: string, text: string): boolean {
  return parse(file, text).statements.every(
    (statement) =>
      ts.isInterfaceDeclaration(statement) ||
      ts.isTypeAliasDeclaration(statement) ||
      ts.isImportDeclaration(statement) ||
      ts.isExportDeclaration(statement),
  );
}

/** These files and, over relative imports, whatever they load. */
export function reachable(repository: Repository, entries: readonly string[]): Set<string> {
  const reached = new Set<string>();
  const open = [...entries];
  for (let file = open.pop(); file !== undefined; file = open.pop()) {
    const text = repository.files.get(file);
    if (text === undefined || reached.has(file)) continue;
    reached.add(file);
    for (const { specifier } of importsOf(file, text)) {
      if (specifier.startsWith('.')) open.push(resolveImport(file, specifier));
    }
  }
  return reached;
}

/** The tests that run in every runtime, with the helpers that they load. */
export function neutralTests(repository: Repository): Set<string> {
  const tests = matching(repository, /^packages\/[^/]+\/test\/.*(?<!\.node)\.test\.ts$/);
  return reachable(
    repository,
    tests.map(([file]) => file),
  );
}
