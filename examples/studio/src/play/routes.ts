import type { ChunkManager } from '@chunks/manager';
import { createProxy } from '@chunks/manager/proxy';
import { Hono } from 'hono';
import { integerField, readJson, textField } from '../http/json.ts';
import { inWords } from '../http/problem.ts';
import { parameter, route } from '../http/route.ts';
import { asMedia, type Library, playable } from './library.ts';
import type { Origin } from './origin.ts';
import type { Playheads } from './playheads.ts';

export interface PlayAppOptions {
  readonly library: Library;
  readonly manager: ChunkManager;
  readonly playheads: Playheads;
  readonly origin: Origin;
  /** A cache was emptied: no event of the manager tells of it. */
  changed(fileId: string): void;
}

/** `/play`: files through the range cache, playheads, and emptying the cache. */
export function playApp({ library, manager, playheads, origin, changed }: PlayAppOptions): Hono {
  const app = new Hono();
  const proxy = createProxy({
    manager,
    // Decoded, as the router does it: an id written with percent signs is the same file, not another one to keep.
    fileIdOf: (request) => decodeURIComponent(new URL(request.url).pathname.split('/')[2] ?? ''),
  });

  route(app, '/play/:id', {
    GET: async (context) => {
      const file = playable(library, parameter(context, 'id'));
      return asMedia(inWords(await proxy(context.req.raw)), file);
    },
  });

  route(app, '/play/:id/playhead', {
    POST: async (context) => {
      const file = playable(library, parameter(context, 'id'));
      const body = await readJson(context.req.raw);
      const owner = textField(body, 'owner', /^[\w-]{1,64}$/, '1 to 64 letters, digits, - or _');
      const byte = integerField(body, 'byte', 0, Math.max(0, file.sizeBytes - 1));
      const bitrateBitsPerSecond =
        body['bitrateBitsPerSecond'] === undefined ? undefined : integerField(body, 'bitrateBitsPerSecond', 1, 1e10);
      if (file.sizeBytes > 0) {
        await manager.openFile({ id: file.id, signal: context.req.raw.signal });
        playheads.report(file.id, { owner, byte, bitrateBitsPerSecond });
      }
      return new Response(null, { status: 204 });
    },
  });

  route(app, '/play/:id/cache', {
    DELETE: async (context) => {
      const { id } = playable(library, parameter(context, 'id'));
      playheads.endAll(id);
      await manager.removeFile(id);
      origin.forget(id);
      changed(id);
      return new Response(null, { status: 204 });
    },
  });

  return app;
}
