// Whom a verifier trusts: logs, witnesses and how many of them, operators, tills. Source: C2SP tlog-policy; operator, till and revoked are ours.
import { first, fromBase64url, Refused, same, shown } from './bytes.js';
import { ed25519Thumbprint } from './jws.js';
import { COSIGNATURE, parseVerifierKey, PLAIN } from './note.js';

export class BadPolicy extends Error {}

export async function parsePolicy(text) {
  const policy = { logs: [], witnesses: new Map(), groups: new Map(), quorum: null, operators: new Map(), tills: new Map(), revoked: new Map() };
  let quorums = 0;
  for (const [number, line] of text.split('\n').entries()) {
    const words = line.replace(/^[ \t]+|[ \t]+$/g, '').split(/[ \t]+/);
    if (words[0] === '' || words[0].startsWith('#')) continue;
    quorums += words[0] === 'quorum';
    try {
      await readLine(policy, words);
    } catch (failure) {
      throw failure instanceof Refused ? new BadPolicy(`line ${number + 1} of the policy: ${failure.message}`) : failure;
    }
  }
  if (quorums !== 1) throw new BadPolicy('a policy has one line `quorum`; `quorum none` asks for no witness');
  return policy;
}

async function readLine(policy, words) {
  const [kind, ...rest] = words;
  if (kind === 'log' && [1, 2].includes(rest.length)) {
    policy.logs.push(await keyOf(rest[0], PLAIN, policy.logs));
  } else if (kind === 'witness' && [2, 3].includes(rest.length)) {
    checkNew(policy, rest[0]);
    policy.witnesses.set(rest[0], await keyOf(rest[1], COSIGNATURE, [...policy.witnesses.values()]));
  } else if (kind === 'group' && rest.length > 2) {
    const [name, least, ...members] = rest;
    checkNew(policy, name);
    checkMembers(policy, members);
    policy.groups.set(name, { least: leastOf(least, members.length), members });
  } else if (kind === 'quorum' && rest.length === 1) {
    const [name] = rest;
    if (name !== 'none' && !policy.witnesses.has(name) && !policy.groups.has(name)) throw new Refused(`nothing is called ${name} so far`);
    policy.quorum = name === 'none' ? null : name;
  } else if (kind === 'operator' && rest.length) {
    const party = await partyOf(rest[0], rest.slice(1));
    policy.operators.set(party.id, party);
  } else if (kind === 'till' && rest.length > 1) {
    const party = await partyOf(rest[1], rest.slice(2));
    policy.tills.set(`${rest[0]} ${party.id}`, party);
  } else if (kind === 'revoked' && [1, 2].includes(rest.length)) {
    const limits = limitsOf(rest.slice(1));
    if (limits.after !== undefined) throw new Refused('a device is revoked from a place on: before=<place in the log>');
    policy.revoked.set(rest[0], limits.before ?? null);
  } else {
    throw new Refused(`expected log, witness, group, quorum, operator, till or revoked with what belongs to it, found ${shown(first(words.join(' '), 80))}`);
  }
}

// Whether a key was good for an entry of the log.
export const holdsAt = (party, index) => (party.after === undefined || party.after < index) && (party.before === undefined || index < party.before);

export function isRevoked(policy, device, index) {
  const before = policy.revoked.get(device);
  return policy.revoked.has(device) && (before === null || index >= before);
}

// When the quorum was reached, in seconds since 1970; null where it was not. seen: when each witness signed, by its name.
export const reachedAt = (policy, seen) => policy.quorum === null ? null : reached(policy, policy.quorum, seen);

function reached(policy, name, seen) {
  if (policy.witnesses.has(name)) return seen.get(name) ?? null;
  const { least, members } = policy.groups.get(name);
  const times = members.map(one => reached(policy, one, seen)).filter(time => time !== null).sort((a, b) => a < b ? -1 : a > b ? 1 : 0);
  return times.length >= least ? times[least - 1] : null;
}

async function keyOf(text, kind, others) {
  const key = await parseVerifierKey(text);
  if (key.kind !== kind) throw new Refused(`the key ${key.name} is of the kind ${key.kind}, expected ${kind}`);
  if (others.some(one => same(one.bytes, key.bytes))) throw new Refused(`the key of ${key.name} was named before`);
  return key;
}

function checkNew(policy, name) {
  if (name === 'none' || policy.witnesses.has(name) || policy.groups.has(name)) throw new Refused(`the name ${name} is taken`);
}

function checkMembers(policy, members) {
  const taken = new Set([...policy.groups.values()].flatMap(group => group.members));
  for (const [at, name] of members.entries()) {
    if (!policy.witnesses.has(name) && !policy.groups.has(name)) throw new Refused(`nothing is called ${name} so far`);
    if (taken.has(name) || members.indexOf(name) !== at || members.lastIndexOf(name) !== at) throw new Refused(`${name} is a member already`);
  }
}

function leastOf(text, count) {
  if (text === 'all' || text === 'any') return text === 'all' ? count : 1;
  if (!/^[1-9][0-9]{0,3}$/.test(text) || Number(text) > count) throw new Refused(`expected all, any, or a number from 1 to ${count}, found ${shown(first(text, 20))}`);
  return Number(text);
}

async function partyOf(key, limits) {
  const bytes = fromBase64url(key);
  if (bytes.length !== 32) throw new Refused('an Ed25519 key has 32 bytes, in base64url');
  return { bytes, id: await ed25519Thumbprint(bytes), ...limitsOf(limits) };
}

function limitsOf(limits) {
  const found = {};
  for (const limit of limits) {
    const match = /^(after|before)=(0|[1-9][0-9]{0,18})$/.exec(limit);
    if (!match || found[match[1]] !== undefined) throw new Refused(`expected after=<place in the log> or before=<place in the log>, found ${shown(first(limit, 40))}`);
    found[match[1]] = BigInt(match[2]);
  }
  return found;
}
