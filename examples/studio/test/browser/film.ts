import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';

/** A film of about 69 MB and 90 s with a keyframe every two seconds, made by ffmpeg. */
export async function makeFilm(folder: string): Promise<string> {
  const path = join(folder, 'film.mp4');
  const picture = 'testsrc2=size=1280x720:rate=25:duration=90,noise=alls=20:allf=t';
  const tone = 'sine=frequency=330:duration=90';
  const inputs = ['-f', 'lavfi', '-i', picture, '-f', 'lavfi', '-i', tone];
  const video = [
    '-c:v',
    'libx264',
    '-preset',
    'ultrafast',
    '-b:v',
    '6M',
    '-maxrate',
    '6M',
    '-bufsize',
    '12M',
    '-g',
    '50',
  ];
  const sound = ['-c:a', 'aac', '-movflags', '+faststart'];
  const ffmpeg = spawn('ffmpeg', ['-hide_banner', '-loglevel', 'error', ...inputs, ...video, ...sound, path], {
    stdio: 'inherit',
  });
  const [code] = await once(ffmpeg, 'exit');
  if (code !== 0) throw new Error(`ffmpeg ended with ${code}.`);
  return path;
}

export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const bytes of createReadStream(path)) hash.update(bytes);
  return hash.digest('hex');
}

export async function sha256OfUrl(url: string): Promise<string> {
  const response = await fetch(url);
  if (!response.ok || response.body === null) throw new Error(`${url} answered ${response.status}.`);
  const hash = createHash('sha256');
  for await (const bytes of response.body) hash.update(bytes);
  return hash.digest('hex');
}
