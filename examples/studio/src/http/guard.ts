import { createHash, timingSafeEqual } from 'node:crypto';
import { hostname, networkInterfaces } from 'node:os';
import type { Context, MiddlewareHandler } from 'hono';
import { HttpProblem } from './problem.ts';

export interface GuardOptions {
  /** The address that the server is bound to. */
  readonly host: string;
  /** Origins of other sites whose pages may call this server. */
  readonly allowOrigins: readonly string[];
  /** Asked of every request but `/healthz`. */
  readonly token?: string | undefined;
}

const COOKIE = 'studio_token';
const ANY_ADDRESS = new Set(['0.0.0.0', '::']);

/** Names by which this server may be called. Any other Host is a name that somebody pointed at it (DNS rebinding). */
function knownHosts({ host, allowOrigins }: GuardOptions): Set<string> {
  const hosts = new Set(['localhost', '127.0.0.1', '[::1]', host.includes(':') ? `[${host}]` : host]);
  for (const origin of allowOrigins) hosts.add(new URL(origin).hostname);
  if (!ANY_ADDRESS.has(host)) return hosts;
  hosts.add(hostname().toLowerCase());
  for (const { address, family } of Object.values(networkInterfaces()).flatMap((all) => all ?? [])) {
    hosts.add(family === 'IPv6' ? `[${address}]` : address);
  }
  return hosts;
}

// Hashed, so that lengths are equal and the comparison tells nothing by its time.
const sameSecret = (a: string, b: string): boolean =>
  timingSafeEqual(createHash('sha256').update(a).digest(), createHash('sha256').update(b).digest());

const cookieOf = (request: Request): string | undefined =>
  (request.headers.get('cookie') ?? '')
    .split(/; */)
    .find((pair) => pair.startsWith(`${COOKIE}=`))
    ?.slice(COOKIE.length + 1);

/** A page cannot send a header with `<video>` or EventSource, hence the cookie, set by opening `/?token=…` once. */
function checkToken(context: Context, token: string): Response | undefined {
  const url = new URL(context.req.url);
  const offered = url.searchParams.get('token');
  if (url.pathname === '/' && offered !== null && sameSecret(offered, token)) {
    const cookie = `${COOKIE}=${encodeURIComponent(token)}; HttpOnly; SameSite=Strict; Path=/`;
    return new Response(null, { status: 303, headers: { location: '/', 'set-cookie': cookie } });
  }
  const header = /^Bearer (.+)$/i.exec(context.req.header('authorization') ?? '')?.[1];
  const cookie = cookieOf(context.req.raw);
  if (header !== undefined && sameSecret(header, token)) return undefined;
  if (cookie !== undefined && sameSecret(cookie, encodeURIComponent(token))) return undefined;
  const detail = 'Send Authorization: Bearer …, or open /?token=… once in the browser';
  throw new HttpProblem(401, 'token-required', detail, { 'www-authenticate': 'Bearer' });
}

/**
 * Who may talk to the server: known Host names only, writes only from its own pages or allowed origins, the token.
 * Programs that send no Origin (curl, the self-test) pass: what this keeps out is other people's pages.
 */
export function guard(options: GuardOptions): MiddlewareHandler {
  const hosts = knownHosts(options);
  const allowed = new Set(options.allowOrigins.map((origin) => new URL(origin).origin));
  return async (context, next) => {
    const url = new URL(context.req.url);
    if (!hosts.has(url.hostname)) {
      throw new HttpProblem(403, 'foreign-host', `This server does not go by the name ${url.hostname}`);
    }
    const origin = context.req.header('origin');
    const own = origin === undefined || origin === url.origin;
    const crossSite = context.req.header('sec-fetch-site') === 'cross-site';
    const reads = ['GET', 'HEAD', 'OPTIONS'].includes(context.req.method);
    const permitted = own ? !crossSite : allowed.has(origin);
    if (!reads && !permitted) {
      const detail = `Pages of ${origin ?? 'other sites'} may not write here; --allow-origin would let them`;
      throw new HttpProblem(403, 'foreign-origin', detail);
    }
    if (origin !== undefined && !own && allowed.has(origin)) {
      if (context.req.method === 'OPTIONS') return preflight(origin);
      context.header('access-control-allow-origin', origin);
      context.header('access-control-expose-headers', 'etag, location, content-range, retry-after');
      context.header('vary', 'origin');
    }
    if (options.token !== undefined && url.pathname !== '/healthz') {
      const redirect = checkToken(context, options.token);
      if (redirect !== undefined) return redirect;
    }
    await next();
  };
}

const preflight = (origin: string): Response =>
  new Response(null, {
    status: 204,
    headers: {
      'access-control-allow-origin': origin,
      'access-control-allow-methods': 'GET, HEAD, POST, PUT, DELETE',
      'access-control-allow-headers': 'authorization, content-type, content-digest, if-match, if-none-match, range',
      'access-control-max-age': '600',
      vary: 'origin',
    },
  });
