import { type CommandLine, readOptions, USAGE, UsageError } from './options.ts';
import { runStudio } from './run.ts';
import { selfTest } from './self-test/self-test.ts';

const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

function readOrExit(): CommandLine {
  try {
    return readOptions(process.argv.slice(2));
  } catch (error) {
    return refuse(error);
  }
}

function refuse(error: unknown): never {
  if (!(error instanceof UsageError)) throw error;
  process.stderr.write(`${error.message}\nnpm start -- --help shows every option.\n`);
  process.exit(2);
}

const options = readOrExit();
if (options.help) say(USAGE);
else if (options.selfTest !== undefined) {
  process.exitCode = await selfTest({ files: options.selfTest, seed: options.seed, say });
} else {
  const studio = await runStudio(options, { say }).catch(refuse);
  const query = options.token === undefined ? '' : `/?token=${encodeURIComponent(options.token)}`;
  say(`Studio: ${studio.url}${query}  (data in ${studio.directory}; stop with Ctrl+C)`);

  let stopping = false;
  const stop = async (): Promise<void> => {
    // Whoever asks twice wants it now; what was acknowledged is on disk.
    if (stopping) process.exit(1);
    stopping = true;
    await studio.stop();
    process.exit(0);
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
}
