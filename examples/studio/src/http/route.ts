import type { Context, Hono } from 'hono';
import { HttpProblem } from './problem.ts';

type Handler = (context: Context) => Response | Promise<Response>;
type Handlers = Readonly<Partial<Record<'GET' | 'POST' | 'PUT' | 'DELETE', Handler>>>;

/** Everything that one path answers to; any other method gets 405 with what is allowed. HEAD comes with GET. */
export function route(app: Hono, path: string, handlers: Handlers): void {
  const methods = Object.keys(handlers) as (keyof Handlers)[];
  for (const method of methods) app.on(method, path, handlers[method] as Handler);
  const allow = methods.flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method])).join(', ');
  app.all(path, (context) => {
    throw new HttpProblem(405, 'method-not-allowed', `${context.req.method} is not one of ${allow}`, { allow });
  });
}

/** A parameter of the path, as the router decoded it. */
export function parameter(context: Context, name: string): string {
  return context.req.param(name) ?? '';
}
