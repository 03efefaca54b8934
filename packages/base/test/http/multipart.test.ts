import { expect, test } from 'vitest';
import { multipartStretches, randomBoundary, stretchBytes } from '../../src/http/multipart.ts';

// That the bodies can be read back, for any ranges: assemble/test/http.test.ts. Here is the exact wire form.

const wire = (contentType: string | null): string =>
  multipartStretches(
    [
      { startByte: 0, endByte: 1 },
      { startByte: 5, endByte: 9 },
    ],
    { totalBytes: 9, contentType, boundary: 'B' },
  )
    .map((stretch) =>
      stretch instanceof Uint8Array ? new TextDecoder().decode(stretch) : `<${stretch.startByte},${stretch.endByte}>`,
    )
    .join('');

test('each part has a head, and no line break too many', () => {
  expect(wire('a/b')).toBe(
    '--B\r\nContent-Type: a/b\r\nContent-Range: bytes 0-0/9\r\n\r\n<0,1>' +
      '\r\n--B\r\nContent-Type: a/b\r\nContent-Range: bytes 5-8/9\r\n\r\n<5,9>' +
      '\r\n--B--\r\n',
  );
  expect(wire(null)).not.toContain('Content-Type');
});

test('a stretch is as long as its bytes', () => {
  expect(stretchBytes({ startByte: 5, endByte: 9 })).toBe(4);
  expect(stretchBytes(new Uint8Array(3))).toBe(3);
});

test('no two boundaries are alike, and all are of 128 bits', () => {
  const all = new Set(Array.from({ length: 200 }, randomBoundary));
  expect(all.size).toBe(200);
  for (const boundary of all) expect(boundary).toMatch(/^[0-9a-f]{32}$/);
});
