/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Chunks to one file: checked, crash-safe, at the speed of `cat`.
 * @module index
 */
export type { ByteSource, Clock, Exclusively, MaybePromise } from '@chunks/base';
export type { ChunkWriteOptions } from './arrival.ts';
export { type AssembleResult, assembleFile } from './assemble-file.ts';
export { ChunkDirectory } from './chunk-directory.ts';
export * from './errors.ts';
export type { FileFacts, FilePort } from './file-port.ts';
export { type AssemblyPlan, planAssembly } from './plan.ts';
export type { AssembleInput, AssembleProgress, AssembleSettings, Durability, Engine } from './settings.ts';
export { type SweepOptions, type SweepResult, sweepStale } from './sweep.ts';
export { type SweeperOptions, startSweeper } from './sweeper.ts';
export type { ChunkFile, ChunkInfo, Digest, Manifest, StoredChunk } from './types.ts';
