import { describe, expect, test } from 'vitest';
import { fingerprint, type Keeper, UploadMemory, whyNotTheSame } from '../page/upload/memory.ts';

class FakeKeeper implements Keeper {
  value: string | null = null;
  getItem(): string | null {
    return this.value;
  }
  setItem(_key: string, value: string): void {
    this.value = value;
  }
}

const clip = { name: 'clip.mp4', size: 1000, lastModified: 5 };

describe('fingerprint', () => {
  test('differs when the name, the size or the time of the last change does', () => {
    const others = [
      { ...clip, name: 'clip2.mp4' },
      { ...clip, size: 1001 },
      { ...clip, lastModified: 6 },
      { ...clip, name: 'clip.mp4:1000', size: 5 },
    ];
    const prints = new Set([clip, ...others].map(fingerprint));
    expect(prints.size).toBe(5);
    expect(fingerprint({ ...clip })).toBe(fingerprint(clip));
  });
});

describe('whyNotTheSame', () => {
  test('says nothing for the same file', () => {
    expect(whyNotTheSame(clip, { ...clip })).toBeUndefined();
  });

  test('names what differs, the size first', () => {
    expect(whyNotTheSame(clip, { name: 'x', size: 999, lastModified: 0 })).toMatch(/999 bytes.*1000 bytes/);
    expect(whyNotTheSame(clip, { ...clip, name: 'other.mp4' })).toMatch(/other\.mp4.*clip\.mp4/);
    expect(whyNotTheSame(clip, { ...clip, lastModified: 9 })).toMatch(/changed since/);
  });
});

describe('UploadMemory', () => {
  test('a later page finds what an earlier one remembered', () => {
    const keeper = new FakeKeeper();
    new UploadMemory(keeper).remember('u1', clip);
    expect(new UploadMemory(keeper).find({ ...clip })).toEqual({ id: 'u1', ...clip });
    expect(new UploadMemory(keeper).find({ ...clip, size: 7 })).toBeUndefined();
  });

  test('a file has one upload: a newer one takes its place', () => {
    const memory = new UploadMemory(new FakeKeeper());
    memory.remember('u1', clip);
    memory.remember('u2', clip);
    expect(memory.list().map((kept) => kept.id)).toEqual(['u2']);
    memory.forget('u2');
    expect(memory.list()).toEqual([]);
  });

  test('keeps the newest twenty', () => {
    const memory = new UploadMemory(new FakeKeeper());
    for (let index = 0; index < 25; index += 1) memory.remember(`u${index}`, { ...clip, size: index });
    expect(memory.list().map((kept) => kept.id)).toEqual(Array.from({ length: 20 }, (_, index) => `u${24 - index}`));
  });

  test('what other programs wrote there is passed over', () => {
    const keeper = new FakeKeeper();
    const memory = new UploadMemory(keeper);
    for (const value of ['{', '{}', 'null', '[null, 1, {"id": 3}]', '[{"id": "u", "name": "n", "size": 1.5}]']) {
      keeper.value = value;
      expect(memory.list()).toEqual([]);
    }
  });

  test('storage that is blocked or full only forgets', () => {
    const refuse = (): never => {
      throw new Error('blocked');
    };
    const memory = new UploadMemory({ getItem: refuse, setItem: refuse });
    memory.remember('u1', clip);
    expect(memory.list()).toEqual([]);
  });
});
