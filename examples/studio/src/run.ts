import { claimDataFolder } from './data-folder.ts';
import { jsonLog, type Log } from './log.ts';
import { type StudioOptions, UsageError } from './options.ts';
import { pageApp } from './page.ts';
import { assembleApp, listen } from './server.ts';
import { openStudio } from './studio.ts';

const toStderr: Log = jsonLog((line) => process.stderr.write(line));

const forUrl = (host: string): string => {
  if (host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return host.includes(':') ? `[${host}]` : host;
};

export interface Running {
  readonly url: string;
  readonly directory: string;
  /** Finishes what it can in a few seconds; everything acknowledged is on disk by then anyway. */
  stop(): Promise<void>;
}

export interface Voices {
  /** A line for the person who started it. */
  say(line: string): void;
  /** An event for whoever reads the log. @default JSON lines on stderr */
  readonly log?: Log | undefined;
}

/** The whole server, from options to a URL. */
export async function runStudio(options: StudioOptions, { say, log = toStderr }: Voices): Promise<Running> {
  const folder = claimDataFolder(options.data, process.cwd());
  if (folder.insteadOf !== undefined) say(`${folder.insteadOf} is in use by another studio: taking ${folder.path}`);
  let ownUrl = '';
  const studio = await openStudio({ options, directory: folder.path, log, ownUrl: () => ownUrl });
  const app = assembleApp([studio.app, await pageApp()], options, log);
  const { host, port } = options;
  const onBusy = (busy: number): void => say(`Port ${busy} is in use: trying ${busy + 1}`);
  const listening = await listen(app, { host, port, log, onBusy }).catch(async (error: Error) => {
    await studio.close();
    folder.release();
    throw new UsageError(`Nothing can listen on ${host}, port ${port}: ${error.message}`);
  });
  ownUrl = `http://${forUrl(host)}:${listening.port}`;
  const stop = async (): Promise<void> => {
    studio.stop();
    await listening.close();
    await studio.close();
    folder.release();
  };
  let stopped: Promise<void> | undefined;
  return { url: ownUrl, directory: folder.path, stop: () => (stopped ??= stop()) };
}
