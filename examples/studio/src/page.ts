import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';
import { Hono } from 'hono';
import { route } from './http/route.ts';

const here: string = import.meta.dirname;
const PAGE = join(here, '../page');

// No inline script or style, nothing from elsewhere; the icon is a data: URL, so that there is no request for it.
const POLICY = [
  "default-src 'self'",
  "img-src 'self' data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

interface Asset {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly type: string;
  readonly etag: string;
}

const asset = (bytes: Uint8Array, type: string): Asset => ({
  bytes: new Uint8Array(bytes),
  type,
  etag: `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"`,
});

/** `main.ts` with its modules, `styles.css` with its sheets: one file each. */
async function bundle(entry: string): Promise<Uint8Array> {
  const result = await build({
    entryPoints: [join(PAGE, entry)],
    bundle: true,
    format: 'esm',
    target: 'es2022',
    minify: true,
    sourcemap: 'inline',
    sourcesContent: true,
    write: false,
    logLevel: 'silent',
  });
  return result.outputFiles[0]?.contents ?? new Uint8Array();
}

/** Reads and bundles the page once; from then on it is served from memory. */
export async function pageApp(): Promise<Hono> {
  const [html, css, script, sample] = await Promise.all([
    readFile(join(PAGE, 'index.html')),
    bundle('styles.css'),
    bundle('main.ts'),
    readFile(join(here, '../sample/sample.webm')),
  ]);
  const assets: Readonly<Record<string, Asset>> = {
    '/': asset(html, 'text/html; charset=utf-8'),
    '/styles.css': asset(css, 'text/css; charset=utf-8'),
    '/main.js': asset(script, 'text/javascript; charset=utf-8'),
    '/sample.webm': asset(sample, 'video/webm'),
  };
  const app = new Hono();
  for (const [path, { bytes, type, etag }] of Object.entries(assets)) {
    route(app, path, {
      GET: (context) => {
        // Always asked again: after an update of the studio an old page must not meet a new server.
        const headers = { 'content-type': type, etag, 'cache-control': 'no-cache', 'content-security-policy': POLICY };
        if (context.req.header('if-none-match') === etag) return new Response(null, { status: 304, headers });
        return new Response(bytes, { headers });
      },
    });
  }
  return app;
}
