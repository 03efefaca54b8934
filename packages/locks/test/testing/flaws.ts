import { type LeaseAbilities, leaseDriverContract } from '@chunks/locks/testing';
import { type Flaw, referenceBench } from './reference-leases.ts';

/** A driver that can do everything. */
export const all: LeaseAbilities = {
  shared: true,
  inspect: true,
  watch: true,
  line: true,
  remote: true,
  clock: 'injected',
};

/** A driver that can do what it must. */
export const bare: LeaseAbilities = {
  shared: false,
  inspect: false,
  watch: false,
  line: false,
  remote: false,
  clock: 'injected',
};

/** The names of the cases that do not hold for the reference driver with this flaw. */
export async function redCases(abilities: LeaseAbilities, flaw?: Flaw): Promise<string[]> {
  const cases = leaseDriverContract(referenceBench(abilities, flaw), abilities);
  const names = cases.map(({ name, run }) =>
    run().then(
      () => [],
      () => [name],
    ),
  );
  return (await Promise.all(names)).flat();
}

/** For a flaw, the cases that must catch it, at least. */
type Caught = { readonly [flaw in Flaw]?: readonly string[] };

const free = 'a free key is given, and is busy for everybody else: by whom, and for how long';
const raceFree = 'of many who ask for a free key at once exactly one gets it';
const raceEnded = 'of many who ask for an ended lease at once exactly one takes it over, with a higher token';
const resend = 'the holder who asks again gets the same token, and its lease starts anew';
const afterEnd = 'a holder who asks again after its lease has ended gets a higher token';
const rises = 'tokens rise strictly, over releases, ended leases and processes';
const firstToken = "a first token is the store's clock, in whole ms";
const keys = 'no key is taken for another, whatever it is made of';
const holders = 'holders are told apart to their last character';
const aborted = 'an aborted call rejects with its reason or goes on, and blocks nobody either way';
const renewed = 'a renewed lease lasts from now, and nobody waits for it';
const revives = 'an ended lease never revives, though nobody has taken it';
const onlyHolder = 'only the holder renews and releases, with the token of this very lease';
const takenOver = 'a holder whose key was taken over can do nothing to the next one';
const released = 'a release frees the key at once, once';
const closed = 'a driver that is closed leaves the others and their leases alone';
export const inspect = 'inspect tells who has the key, how, and for how long, and nothing of a free one';
export const wakes = 'a release wakes who watches the key, in every process, until they stop';
const manyKeys = 'any number of keys can be watched, whatever they are made of';
const closedWakes = 'a closed driver wakes nobody';
export const unreachable =
  'a store that does not answer is neither busy nor free: every call rejects, and works once it answers';
const clockTokens = 'tokens are the clock, or one more than the last where that is ahead';
const toTheMs = 'a lease ends to the ms';
export const shared = 'shared holders are in together, under one token; an exclusive one is alone';
const sharedEnds = 'shared leases end one by one';
export const handsOn = 'a release hands the key on to the first in line; a newcomer finds it busy';
const handsOnEnded = 'an ended lease goes to the first in line, too';
const leaves = 'who leaves the line is passed over';
export const contended = 'the holder learns that others wait, for as long as they do';
const deadClaim = 'what was handed on to somebody dead lapses soon, and goes to the next';
const wholeLease = 'what was handed on and is asked for lasts its whole lease';
const lapses = 'a place that nobody asks for lapses, one that is asked for does not';
const sharedPasses = 'a shared newcomer never passes an exclusive one in line';
const sharedTogether = 'shared ones in line enter together';
/** The case of a store without a line. */
export const noLine = 'there is no line: a released key goes to whoever asks first';
/** The cases of a driver that lacks what it can lack. */
export const absent: readonly string[] = [
  'there is no inspect',
  'there is no watch',
  'the exclusive mode is the only one',
  'the store cannot be out of reach',
];

/** What can be wrong with acquire, renew and release. */
export const callFlaws: Caught = {
  'grants what is taken': [free, raceFree],
  'names no holder': [free],
  'tells no retryAfterMs': [free],
  'yields between reading and writing': [raceFree, raceEnded],
  'gives a new token on a resend': [resend],
  'keeps the old end on a resend': [resend],
  'wants as many releases as calls': [resend],
  'gives the old token after the end': [afterEnd],
  'forgets the token on release': [rises, released],
  'forgets the token at the end': [clockTokens],
  'counts tokens per process': [rises],
  'counts tokens from 1': [firstToken],
  'folds the case of keys': [keys],
  'trims keys': [keys],
  'cuts keys at NUL': [keys],
  'cuts keys at 255': [keys],
  'splits keys at a slash': [keys],
  'normalizes keys': [keys],
  'cuts holders at 63': [holders],
  'rejects an abort with an error of its own': [aborted],
  'leaves a ghost on abort': [aborted],
  'renews nothing': [renewed],
  'calls every renewal contended': [renewed],
  revives: [revives],
  'releases what has ended': [revives],
  'renews for any holder': [onlyHolder],
  'renews under any token': [onlyHolder],
  'releases for any holder': [onlyHolder],
  'releases under any token': [onlyHolder],
  'frees at the end of the lease': [released],
  'says true to every release': [onlyHolder, takenOver],
  'forgets all on close': [closed],
};

/** What can be wrong with what a driver can do beyond these. */
export const abilityFlaws: Caught = {
  'inspects what has ended': [inspect],
  'inspects the holder alone': [inspect],
  'wakes nobody': [wakes],
  'wakes one watcher': [wakes],
  'wakes its own process alone': [wakes],
  'stops all watchers of a key': [wakes],
  'wakes after the stop': [wakes],
  'watches ten keys': [manyKeys],
  'wakes after close': [closedWakes],
  'is busy when out of reach': [unreachable],
  'is free when out of reach': [unreachable],
  'renews false when out of reach': [unreachable],
  'never tries again': [unreachable],
  'follows the clock back': [clockTokens],
  'ends late': [toTheMs],
  'ends early': [toTheMs],
  'lets one shared in': [shared],
  'lets shared in with exclusive': [shared],
  'counts a token per shared holder': [shared],
  'keeps the token of the last shared phase': [shared],
  'ends a shared phase with its first': [shared, sharedEnds],
};

/** What can be wrong with a line. */
export const lineFlaws: Caught = {
  'hands on to the last': [handsOn],
  'lets newcomers in': [sharedPasses],
  'loses the place of who asks again': [handsOn],
  'gives a place per call': [handsOn],
  'hands nothing on at the end': [handsOnEnded],
  'keeps who has left': [leaves],
  'says false at contention': [contended],
  'never sees contention': [contended],
  'stays contended': [contended],
  'hands on for the whole lease': [deadClaim],
  'never renews a claim': [wholeLease],
  'keeps places for ever': [lapses],
  'drops places that are asked for': [lapses],
  'lets shared pass exclusive': [sharedPasses],
  'lets one shared in at a time': [sharedTogether],
};
