// A receipt of a visit and its proof against a policy: what may be believed, who says so, and what was not checked. Rule for rule the same as
// visit_verify.receipt, and tests hold both against each other.
import { fromBase64url, join, length, Refused, sha256, toBase64url, utf8 } from './bytes.js';
import { checkEd25519, checkEs256, digest, ED25519, ES256, p256Jwk, parseJws, thumbprint } from './jws.js';
import { signedBy } from './note.js';
import { holdsAt, isRevoked, reachedAt } from './policy.js';
import { checkProof } from './proof.js';

const RECEIPT = 'xc-receipt+jwt', CLAIM = 'xc-claim+jwt', CONFIRMATION = 'xc-conf+jwt', VOIDS = 'xc-voids+jwt';
export const LEVELS = ['claimed', 'located', 'coded', 'confirmed', 'redeemed'];
const METHODS = ['geo', 'till', 'totp', 'staff', 'pos', 'voucher'];
const CODED = 2, CONFIRMED = 3, REDEEMED = 4;
const ENTRY = Uint8Array.of(1, 1), LABEL = utf8('xc-leaf/v1\0'), SALT_BYTES = 32;
// How far a device's clock may stand from the operator's; a visit is said to be within a quarter of an hour, and a till signs within ten minutes.
const MOST_SKEW_MS = 300_000, WINDOW_MS = 900_000, SCAN_MS = 600_000;
const MOST_VOIDS_LETTERS = 100_000_000, LATEST_MS = 253_402_300_799_999;

// Which store and which log a receipt says it is of; nothing is checked.
export function saidOf(receipt) {
  const { payload } = parseJws(receipt, { typ: RECEIPT, alg: ED25519, members: ['kid'] });
  return { store: payload.st, log: payload.log, issuer: payload.iss };
}

// Throws Refused. voids: the operator's signed list of receipts that were taken back, or null.
export async function verify(text, proof, policy, voids = null) {
  const jws = parseJws(text, { typ: RECEIPT, alg: ED25519, members: ['kid'] });
  const operator = policy.operators.get(jws.header.kid);
  if (!operator) throw new Refused("the receipt is signed by a key that the policy does not name as an operator's");
  await checkEd25519(jws, operator.bytes);
  const said = readPayload(jws.payload);
  const signers = [{ who: 'operator', key: operator.id }], unchecked = ['that the store and the operator did not invent the visit together'];
  const [checkpoint, existedBefore] = await checkLogged(text, said, proof, policy, signers, unchecked);
  if (!holdsAt(operator, proof.index)) throw new Refused(`the operator's key was not good for entry ${proof.index} of the log`);
  const claim = await checkClaim(said, policy, proof.index, signers, unchecked);
  await checkConfirmation(said, claim, policy, proof.index, signers, unchecked);
  await checkNotVoid(said, voids, policy, checkpoint, unchecked);
  return {
    result: 'believed', id: said.jti, issuer: said.iss, store: said.st, audience: said.aud, subject: said.sub, level: said.lvl,
    level_name: LEVELS[said.lvl], methods: said.meth, window_ms: said.win, p_in: said.pin ?? null, risk: said.risk, reasons: said.rsn,
    log: { origin: checkpoint.origin, index: Number(proof.index), size: Number(checkpoint.size) },
    existed_before_s: existedBefore === null ? null : Number(existedBefore), signed_by: signers, not_checked: unchecked,
  };
}

async function entryOf(text, salt) {
  if (salt.length !== SALT_BYTES) throw new Refused(`the salt of a receipt has ${SALT_BYTES} bytes`);
  return join(ENTRY, await sha256(join(LABEL, salt, await sha256(utf8(text)))));
}

// The checkpoint that covers the receipt, and when a quorum of witnesses had seen it.
async function checkLogged(text, said, proof, policy, signers, unchecked) {
  const checkpoint = await checkProof(proof, await entryOf(text, proof.extra ?? new Uint8Array()));
  if (checkpoint.origin !== said.log) throw new Refused(`the receipt belongs to the log ${said.log}, the proof to ${checkpoint.origin}`);
  const keys = policy.logs.filter(key => key.name === checkpoint.origin);
  const signed = await signedBy(proof.note, [...keys, ...policy.witnesses.values()]);
  if (!keys.some(key => signed.has(key))) throw new Refused(`the checkpoint is not signed by the log ${checkpoint.origin} that the policy names`);
  signers.push({ who: 'log', key: checkpoint.origin });
  const seen = new Map([...policy.witnesses].map(([name, key]) => [name, signed.get(key) ?? null]).filter(([, time]) => time !== null));
  for (const [name, time] of seen) signers.push({ who: 'witness', key: name, at_s: Number(time) });
  const existedBefore = reachedAt(policy, seen);
  if (policy.quorum !== null && existedBefore === null) throw new Refused(`too few witnesses have signed the checkpoint: the quorum ${policy.quorum} is not reached`);
  if (policy.quorum === null) unchecked.push("when it existed, and whether others are shown the same log: no witness is asked for, so that is the operator's word");
  return [checkpoint, existedBefore];
}

// The device's own signature, where the receipt shows it.
async function checkClaim(said, policy, index, signers, unchecked) {
  if (said.claim === undefined) {
    unchecked.push("the visitor's device: its signature is not shown in a sealed receipt; ask for the open one and compare `clh`");
    return null;
  }
  const claim = parseJws(said.claim, { typ: CLAIM, alg: ES256, members: ['jwk'] });
  const jwk = p256Jwk(claim.header.jwk);
  await checkEs256(claim, jwk);
  const device = await thumbprint(jwk);
  if (isRevoked(policy, device, index)) throw new Refused("the visitor's device was revoked");
  if (toBase64url(await digest(claim)) !== said.clh) throw new Refused('the claim in the receipt is not the one that it names');
  for (const name of ['st', 'evh']) {
    if (claim.payload[name] !== said[name]) throw new Refused(`the device signed another \`${name}\` than the receipt has`);
  }
  const at = claim.payload.iat;
  if (!isNumber(at) || at > said.iat + MOST_SKEW_MS) throw new Refused('the device signed after the receipt was issued');
  if (at < said.win[0] - MOST_SKEW_MS || at > said.win[1] + MOST_SKEW_MS) throw new Refused('the device signed at another time than the receipt says');
  signers.push({ who: 'device', key: device });
  unchecked.push('that the visit was not before: the beacon in the claim needs a proof of its own');
  return claim;
}

// The store's own signature, which every receipt of level 3 and up has.
async function checkConfirmation(said, claim, policy, index, signers, unchecked) {
  if (said.conf === undefined) {
    if (said.lvl >= CONFIRMED) throw new Refused(`a receipt of level ${said.lvl} needs the signature of the store's till`);
    unchecked.push(`the store: its till has not signed${said.lvl === CODED ? ', and its code was checked by the operator alone' : ''}`);
    return;
  }
  const confirmation = parseJws(said.conf, { typ: CONFIRMATION, alg: ED25519, members: ['kid'] });
  const kid = confirmation.header.kid, { payload } = confirmation;
  const till = typeof kid === 'string' ? policy.tills.get(`${said.st} ${kid}`) : undefined;
  if (!till) throw new Refused('the confirmation is signed by a till that the policy does not name for this store');
  await checkEd25519(confirmation, till.bytes);
  if (!holdsAt(till, index)) throw new Refused(`the till's key was not good for entry ${index} of the log`);
  for (const [name, expected] of [['st', said.st], ['clh', said.clh], ['till', kid]]) {
    if (payload[name] !== expected) throw new Refused(`the till confirmed another \`${name}\` than the receipt has`);
  }
  if (!isNumber(payload.iat) || payload.iat > said.iat + MOST_SKEW_MS) throw new Refused('the till signed after the receipt was issued');
  if (claim !== null && payload.iat < claim.payload.iat - MOST_SKEW_MS) throw new Refused('the till signed before the device did');
  if (payload.iat < said.win[0] - MOST_SKEW_MS || payload.iat > said.win[1] + SCAN_MS + MOST_SKEW_MS) throw new Refused('the till signed at another time than the receipt says');
  if ('pos' in payload && payload.pos !== said.pos) throw new Refused('the till signed another ticket than the receipt has');
  if (said.lvl === REDEEMED && !('pos' in payload)) unchecked.push('the sale: no till has signed its ticket or voucher, the operator says so');
  signers.push({ who: 'till', key: till.id });
}

async function checkNotVoid(said, voids, policy, checkpoint, unchecked) {
  if (voids === null) {
    unchecked.push(`whether the receipt was taken back since: it is good as of entry ${checkpoint.size} of the log; ask for the list of voids`);
    return;
  }
  const listed = parseJws(voids, { typ: VOIDS, alg: ED25519, members: ['kid'], most: MOST_VOIDS_LETTERS });
  const operator = policy.operators.get(listed.header.kid);
  if (!operator) throw new Refused("the list of voids is signed by a key that the policy does not name as an operator's");
  // A list has no place in the log that could show on which side of the revocation it was signed.
  if (operator.before !== undefined) throw new Refused('the list of voids is signed by a key that was revoked');
  await checkEd25519(listed, operator.bytes);
  const hashes = listed.payload.voids, at = listed.payload.iat === undefined ? 0 : listed.payload.iat;
  if (!Array.isArray(hashes) || !isNumber(at) || listed.payload.iss !== said.iss) throw new Refused('the list of voids is not one of this operator');
  if (hashes.includes(toBase64url(await sha256(utf8(said.jti))))) throw new Refused('the receipt was taken back');
  const when = moment(Math.floor(at / 1000));
  if (at < said.iat) unchecked.push(`whether the receipt was taken back: the list of voids is of ${when}, before it was issued`);
  else unchecked.push(`whether the receipt was taken back after ${when}, the time of the list of voids`);
}

export const moment = seconds => `${new Date(seconds * 1000).toISOString().slice(0, 19).replace('T', ' ')}Z`;

// --- what a receipt must say -----------------------------------------------------------------------------------------------------

const isNumber = (value, low = 0, high = LATEST_MS) => Number.isInteger(value) && value >= low && value <= high;
const isText = value => typeof value === 'string' && value !== '' && length(value) <= 50_000;
const isId = value => typeof value === 'string' && /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/.test(value);
const isHash = (value, size = 32) => {
  try { return typeof value === 'string' && fromBase64url(value).length === size; } catch { return false; }
};
const isWindow = value => Array.isArray(value) && value.length === 2 && value.every(one => isNumber(one)) && value[1] - value[0] === WINDOW_MS;
const areMethods = value => Array.isArray(value) && new Set(value).size === value.length && value.every(one => METHODS.includes(one));
const areCodes = value => Array.isArray(value) && value.length <= 100 && value.every(one => typeof one === 'string' && /^[A-Za-z0-9_.-]{1,60}$/.test(one));
const NEEDED = {
  iss: isText, jti: isId, iat: value => isNumber(value), sub: value => isHash(value, 16), aud: isText, st: isId, sth: value => isHash(value), win: isWindow,
  lvl: value => isNumber(value, 0, 4), meth: areMethods, risk: value => isNumber(value, 0, 100), rsn: areCodes, pol: isText, evh: value => isHash(value),
  clh: value => isHash(value), log: isText,
};
const OPTIONAL = {
  pin: value => isNumber(value, 0, 1000), acc: value => isNumber(value, 0, Number.MAX_SAFE_INTEGER), fence: isText, claim: isText, conf: isText,
  pos: value => isHash(value), vch: value => isHash(value), prev: isId, copy_of: isId,
};

// The payload, once all that is judged by has its form.
function readPayload(payload) {
  for (const [name, check] of Object.entries({ ...NEEDED, ...OPTIONAL })) {
    if (!Object.hasOwn(payload, name) && name in OPTIONAL) continue;
    if (!Object.hasOwn(payload, name) || !check(payload[name])) throw new Refused(`the receipt has no \`${name}\` of the form it should have`);
  }
  checkLevel(payload);
  return payload;
}

// A level is not higher than what the receipt shows for it.
function checkLevel(said) {
  const has = name => said.meth.includes(name);
  if (said.lvl >= 2 && !['till', 'totp', 'staff'].some(has)) throw new Refused(`level ${said.lvl} needs a code of the till or its signature, found ${[...said.meth].sort().join(', ') || 'nothing'}`);
  if (said.lvl === 1 && !has('geo')) throw new Refused('level 1 needs a position');
  if (said.lvl === REDEEMED && !(has('pos') && 'pos' in said) && !(has('voucher') && 'vch' in said)) throw new Refused('level 4 needs a ticket or a voucher');
}
