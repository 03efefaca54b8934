import { Hono } from 'hono';
import { integerField, jsonResponse, labelField, readJson, textField } from '../http/json.ts';
import { parameter, route } from '../http/route.ts';
import { assembleUpload } from './assemble.ts';
import { receiveChunk } from './receive.ts';
import type { Uploads } from './uploads.ts';

const MEDIA_TYPE = /^[\w!#$&^.+-]{1,63}\/[\w!#$&^.+-]{1,63}$/;

export interface UploadAppOptions {
  readonly uploads: Uploads;
  /** Aborts when the server stops. */
  readonly stop: AbortSignal;
}

/** `/uploads`: create, ask, send chunks, assemble, delete. */
export function uploadApp({ uploads, stop }: UploadAppOptions): Hono {
  const app = new Hono();

  route(app, '/uploads', {
    POST: async (context) => {
      const body = await readJson(context.req.raw);
      const upload = await uploads.create({
        name: labelField(body, 'name'),
        sizeBytes: integerField(body, 'sizeBytes', 0, Number.MAX_SAFE_INTEGER),
        contentType:
          body['contentType'] === undefined || body['contentType'] === ''
            ? 'application/octet-stream'
            : textField(body, 'contentType', MEDIA_TYPE, 'a media type such as video/webm'),
      });
      return jsonResponse(upload.status(), 201, { location: `/uploads/${upload.id}` });
    },
  });

  route(app, '/uploads/:id', {
    GET: (context) => jsonResponse(uploads.get(parameter(context, 'id')).status()),
    DELETE: async (context) => {
      await uploads.remove(uploads.get(parameter(context, 'id')));
      return new Response(null, { status: 204 });
    },
  });

  route(app, '/uploads/:id/chunks/:index', {
    PUT: async (context) => {
      const upload = uploads.get(parameter(context, 'id'));
      await receiveChunk(upload, parameter(context, 'index'), context.req.raw, uploads);
      return new Response(null, { status: 204 });
    },
  });

  route(app, '/uploads/:id/assemble', {
    POST: async (context) => jsonResponse(await assembleUpload(uploads.get(parameter(context, 'id')), uploads, stop)),
  });

  return app;
}
