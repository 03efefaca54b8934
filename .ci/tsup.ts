import { defineConfig } from 'tsup';

// Types of the base are inlined because its manifest has a top-level `types`: the bundler looks there, not in `exports`,
// and for `@chunks/base/testing` in a manifest of that folder.
// TypeScript obeys reference lines only above everything else, and bundling moves those of the entries down.
const REFERENCE = '/// <reference lib="esnext.disposable" preserve="true" />';

export type Build = ReturnType<typeof defineConfig>;

/** One build for all four packages: ESM only, types with the private base inlined. */
export const bundle = (entry: Record<string, string>): Build =>
  defineConfig({
    entry,
    format: ['esm'],
    target: 'es2023',
    dts: process.env['CHUNKS_BUILD_TYPES'] === 'no' ? false : { resolve: true, banner: REFERENCE },
    sourcemap: true,
    clean: true,
    // tsup's default strips `node:`, and `node:sqlite` has no name without it.
    removeNodeProtocol: false,
    noExternal: ['@chunks/base'],
  });
