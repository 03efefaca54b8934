import { HttpProblem } from '../http/problem.ts';

/** A file that is ready to play. */
export interface PlayableFile {
  readonly id: string;
  readonly path: string;
  readonly name: string;
  readonly sizeBytes: number;
  readonly contentType: string;
  readonly sha256: string;
}

/** Where the play side finds files; it knows nothing of uploads. */
export interface Library {
  find(id: string): PlayableFile | undefined;
}

/** @throws HttpProblem 404 */
export function playable(library: Library, id: string): PlayableFile {
  const file = library.find(id);
  if (file === undefined) throw new HttpProblem(404, 'not-ready', 'There is no assembled file of that id');
  return file;
}

/**
 * The type to serve it by. Only media are shown in place: anything else that a stranger uploaded would otherwise run
 * as a page of this origin.
 */
export function asMedia(response: Response, file: PlayableFile): Response {
  if (response.status >= 300) return response;
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(mediaHeaders(file))) {
    const parts = name === 'content-type' && headers.get(name)?.startsWith('multipart/');
    if (!parts) headers.set(name, value);
  }
  return new Response(response.body, { status: response.status, headers });
}

function mediaHeaders(file: PlayableFile): Readonly<Record<string, string>> {
  const media = /^(audio|video|image)\/(?!svg)/i.test(file.contentType);
  const name = encodeURIComponent(file.name).replace(/['()*]/g, (c) => `%${c.charCodeAt(0).toString(16)}`);
  return {
    'content-type': media ? file.contentType : 'application/octet-stream',
    'content-disposition': `${media ? 'inline' : 'attachment'}; filename*=UTF-8''${name}`,
    'content-security-policy': "default-src 'none'; sandbox",
    // A browser that kept it would not ask again: what this cache does would not be seen.
    'cache-control': 'no-store',
  };
}
