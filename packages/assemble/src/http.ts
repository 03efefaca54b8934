/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Byte ranges over HTTP: RFC 9110's ranges and preconditions in front of anything that can read a range of itself.
 * No `node:` import; `Request` in, `Response` out.
 *
 * @example
 * import { readRange } from '@chunks/assemble/range';
 * import { rangeResponse } from '@chunks/assemble/http';
 *
 * const serve = (request: Request): Promise<Response> =>
 *   rangeResponse(request, {
 *     totalBytes: manifest.totalBytes,
 *     etag: `"${manifest.id}"`,
 *     contentType: 'video/mp4',
 *     read: async (range, signal) => (await readRange({ manifest, range, signal, fetchChunk })).body,
 *   });
 *
 * @module
 */
export { BodyLengthError, type Clock, type CodedError, type RangeResource, rangeResponse } from '@chunks/base';
