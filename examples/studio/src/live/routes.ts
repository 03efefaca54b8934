import { Hono } from 'hono';
import { route } from '../http/route.ts';
import type { LiveHub } from './hub.ts';

/** `/live`: what happens, as server-sent events. */
export function liveApp(hub: LiveHub): Hono {
  const app = new Hono();
  route(app, '/live', {
    GET: (context) => {
      const headers = { 'content-type': 'text/event-stream', 'cache-control': 'no-store' };
      return new Response(context.req.method === 'HEAD' ? null : hub.connect(), { headers });
    },
  });
  return app;
}
