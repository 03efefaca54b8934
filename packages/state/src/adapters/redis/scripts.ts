import { escapedUnits } from '@chunks/base';

// A record is a hash of value `v` and revision `r`. Each script has one key alone, so it has one slot in every cluster.
// They are sent as they are: by their digest they take as long, and a second request whenever a server has forgotten them.

/**
 * Begins with a write that writes nothing: a replica refuses it, and what a replica has may be old. So does a server that
 * lost its replicas, if it is told to. One that cannot save to disk refuses it too, but what it has is new.
 */
export const READ = `local no = redis.pcall('HDEL', KEYS[1], '')
if type(no) == 'table' and not string.find(no.err, 'MISCONF') then return no end
return redis.call('HMGET', KEYS[1], 'v', 'r')`;

/**
 * Expected revision, channel, new revision, value. The write comes last: if anything fails, it has not come about. Nobody
 * can read before the script is done, so who hears of the change early finds it all the same.
 */
export const WRITE = `local r = redis.call('HGET', KEYS[1], 'r')
if (r or '') ~= ARGV[1] then return redis.call('HMGET', KEYS[1], 'v', 'r') end
if not r and redis.call('EXISTS', KEYS[1]) == 1 then return redis.error_reply('WRONGTYPE a hash of somebody else') end
redis.call('PUBLISH', ARGV[2], '')
redis.call('HSET', KEYS[1], 'v', ARGV[4], 'r', ARGV[3])
return 1`;

/** Expected revision, channel. */
export const REMOVE = `if redis.call('HGET', KEYS[1], 'r') ~= ARGV[1] then return 0 end
redis.call('PUBLISH', ARGV[2], '')
return redis.call('DEL', KEYS[1])`;

/**
 * Cursor, what keys begin with after the prefix, which is the key: a client may put a prefix of its own before keys, and it
 * is before this one too.
 */
export const LIST: string = String.raw`local all = string.gsub(KEYS[1]..ARGV[2], '[*?%[\\]', '\\%0')..'*'
local page = redis.call('SCAN', ARGV[1], 'MATCH', all, 'COUNT', 1000)
for i, name in ipairs(page[2]) do page[2][i] = string.sub(name, #KEYS[1] + 1) end
return page`;

/** The text of a key. UTF-8 would turn every lone surrogate into the same sign. */
export const textOf = (key: string): string => escapedUnits(key, /[\\\p{Surrogate}]/gu);

/** And back. */
export const keyOf = (text: string): string =>
  text.replace(/\\u(.{4})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));
