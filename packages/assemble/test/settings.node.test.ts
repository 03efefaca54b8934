import { type AssembleInput, type AssembleSettings, assembleFile, planAssembly } from '@chunks/assemble';
import { describe, expect, test } from 'vitest';
import { checkSettings } from '../src/settings.ts';

const good = { chunks: [{ index: 0, path: '/nowhere/0' }], totalBytes: 1, destination: '/nowhere/out' };
const manifest = { version: 1, id: 'm', totalBytes: 1, chunks: good.chunks };

describe('settings', () => {
  test.each<[string, object, RegExp]>([
    ['no destination', { destination: undefined }, /destination must be a string/],
    ['an empty destination', { destination: '' }, /destination/],
    ['no chunks', { chunks: undefined }, /manifest/],
    ['no total', { totalBytes: undefined }, /totalBytes/],
    ['a negative total', { totalBytes: -1 }, /totalBytes must be an integer ≥ 0, but is -1/],
    ['a total beside a manifest', { chunks: manifest }, /totalBytes must be absent/],
    [
      'a manifest of another version',
      { chunks: { ...manifest, version: 2 }, totalBytes: undefined },
      /manifest.version/,
    ],
    ['a chunk without a path', { chunks: [{ index: 0 }] }, /chunks\[0\].path/],
    ['an unknown engine', { engine: 'worker' }, /engine must be one of "auto", "inline", "async", but is "worker"/],
    ['an unknown durability', { durability: 'maybe' }, /durability/],
    ['a tiny buffer', { bufferBytes: 100 }, /bufferBytes must be an integer from 4096/],
    ['an unknown algorithm', { verify: { whole: 'sha512' } }, /verify.whole/],
    ['a digest that is none', { verify: { whole: { algorithm: 'md5', hex: 'x' } } }, /verify.whole.hex/],
    ['chunks to verify without digests', { verify: { chunks: true } }, /chunks\[0\].digest/],
    ['a mode that is none', { mode: 0o10000 }, /mode/],
    ['a listener that is none', { onProgress: 1 }, /onProgress/],
    ['an empty root', { root: '' }, /root/],
  ])('refuses %s, by both calls', async (_, o, message) => {
    const options = { ...good, ...o } as AssembleInput & AssembleSettings;
    for (const call of [assembleFile, planAssembly]) {
      const error = await call(options).catch((reason) => reason);
      expect(error).toBeInstanceOf(Error);
      expect(['TypeError', 'RangeError']).toContain(error.name);
      expect(error.message).toMatch(message);
    }
  });

  test('fills in what was not said', () => {
    const settings = checkSettings(good);
    expect(settings).toMatchObject({
      overwrite: false,
      durability: 'full',
      engine: 'auto',
      verifyChunks: false,
      mode: 0o666,
    });
    expect(settings.whole).toBeUndefined();
  });

  test("a manifest's own digest is checked unless another is asked for", () => {
    const digest = { algorithm: 'md5', hex: 'a'.repeat(32) } as const;
    const chunks = { ...manifest, version: 1 as const, digest };
    expect(checkSettings({ chunks, destination: 'out' }).whole).toBe(digest);
    expect(checkSettings({ chunks, destination: 'out', verify: { whole: 'sha1' } }).whole).toBe('sha1');
  });
});
