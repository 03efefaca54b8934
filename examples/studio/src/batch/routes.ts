import { type Context, Hono } from 'hono';
import { integerField, jsonResponse, labelField, readJson, textField } from '../http/json.ts';
import { HttpProblem } from '../http/problem.ts';
import { parameter, route } from '../http/route.ts';
import type { Batch } from './batch.ts';

const FILE_ID = /^[\w-]{1,64}$/;

export interface BatchAppOptions {
  find(id: string): Batch | undefined;
}

const etag = (version: number): string => `"${version}"`;

/** The version that If-Match asks for; undefined when any will do. */
function expectedVersion(context: Context): number | undefined {
  const header = context.req.header('if-match')?.trim();
  if (header === undefined || header === '*') return undefined;
  const version = /^"(0|[1-9]\d{0,15})"$/.exec(header)?.[1];
  if (version === undefined) {
    throw new HttpProblem(400, 'bad-if-match', 'If-Match must be one ETag of this batch, such as "7", or *');
  }
  return Number(version);
}

/** `/batches`: the record, and the updates that start, complete and finalize. */
export function batchApp(options: BatchAppOptions): Hono {
  const app = new Hono();
  const batchOf = (context: Context): Batch => {
    const batch = options.find(parameter(context, 'id'));
    if (batch === undefined) throw new HttpProblem(404, 'unknown-batch', 'There is no batch of that id');
    return batch;
  };

  route(app, '/batches/:id', {
    GET: async (context) => {
      const view = await batchOf(context).view();
      const headers = { etag: etag(view.version) };
      if (context.req.header('if-none-match') === headers.etag) return new Response(null, { status: 304, headers });
      return jsonResponse(view, 200, headers);
    },
  });

  route(app, '/batches/:id/files', {
    POST: async (context) => {
      const batch = batchOf(context);
      const ifVersion = expectedVersion(context);
      const body = await readJson(context.req.raw);
      const request = {
        fileId: textField(body, 'fileId', FILE_ID, '1 to 64 letters, digits, - or _'),
        name: labelField(body, 'name'),
        sizeBytes: integerField(body, 'sizeBytes', 0, Number.MAX_SAFE_INTEGER),
      };
      const { created, ...commit } = await batch.start(request, ifVersion);
      return jsonResponse(commit, created ? 201 : 200, { etag: etag(commit.version) });
    },
  });

  route(app, '/batches/:id/files/:fileId/complete', {
    POST: async (context) => {
      const batch = batchOf(context);
      const commit = await batch.complete(parameter(context, 'fileId'), expectedVersion(context));
      return jsonResponse(commit, 200, { etag: etag(commit.version) });
    },
  });

  route(app, '/batches/:id/finalize', {
    POST: async (context) => jsonResponse(await batchOf(context).finalize(expectedVersion(context))),
  });

  return app;
}
