// The auditor's page: a file is dropped, and what it proves is said. Keys come from this server or from files; the receipt goes nowhere.
import { $, element } from './dom.js';
import { themeButton } from './theme.js';
import { Refused, read } from './verify/bytes.js';
import { MOST_FILE_BYTES, parseVisit } from './verify/file.js';
import { parseCheckpoint } from './verify/note.js';
import { BadPolicy, parsePolicy } from './verify/policy.js';
import { saidOf, verify } from './verify/receipt.js';
import { locale, spoken, t } from './words.js';

const LEVELS = [
  t('Somebody claims to have been there.'), t('The device was at the store, as far as its position tells.'), t('The device showed a code that only the till had.'),
  t("The store's till confirmed the visitor."), t('The store confirmed a sale or a voucher.'),
];
const NAMES = [t('claimed'), t('located'), t('coded'), t('confirmed'), t('redeemed')];
const METHODS = { geo: t('position'), till: t("the till's code"), totp: t('a code without network'), staff: t('staff'), pos: t('ticket'), voucher: t('voucher') };
const WHO = { operator: t('the operator'), till: t("the store's till"), device: t("the visitor's device"), log: t('the log'), witness: t('the witness') };

themeButton($('theme'));
$('form').onsubmit = event => event.preventDefault();
for (const id of ['file', 'policy', 'voids']) $(id).onchange = check;
for (const [name, over] of [['dragover', true], ['dragleave', false], ['drop', false]]) {
  $('drop').addEventListener(name, event => { event.preventDefault(); $('drop').classList.toggle('over', over); });
}
$('drop').addEventListener('drop', event => {
  if (!event.dataTransfer.files.length) return;
  $('file').files = event.dataTransfer.files;
  check();
});
// A file that misses its place must not be opened instead of the page.
for (const name of ['dragover', 'drop']) addEventListener(name, event => event.preventDefault());

let newest = 0;
async function check() {
  const own = ++newest, file = $('file').files[0];
  if (!file) return;
  say('wait', '…', t('Checking {name}', { name: file.name }), '');
  const asked = [];
  let show;
  try {
    if (!crypto.subtle) throw new Error(t('This browser checks signatures on pages with https, or on this very machine, only.'));
    if (file.size > MOST_FILE_BYTES) throw new Refused(t('The file is far too large for a receipt.'));
    const [receipt, proof] = await parseVisit(new Uint8Array(await file.arrayBuffer()));
    const said = saidOf(receipt);
    const { origin } = parseCheckpoint(proof.note.text);
    const policy = await parsePolicy(await policyFor(said, origin, asked));
    const verdict = await verify(receipt, proof, policy, await voidsFor(asked));
    show = () => believed(verdict, asked);
  } catch (failure) {
    show = () => refused(failure, asked);
  }
  if (own === newest) show();
}

// Text of a chosen file, with the ends of lines as the verifier of the command line reads them.
async function textOf(id) {
  const [file] = $(id).files;
  if (!file) return null;
  const text = read(new Uint8Array(await file.arrayBuffer()));
  if (text === null) throw new BadPolicy(t('{name} is no text', { name: file.name }));
  return text.replace(/\r\n?/g, '\n');
}

async function published(path, asked) {
  asked.push(path);
  const response = await fetch(path, { credentials: 'omit', referrerPolicy: 'no-referrer' });
  if (!response.ok) throw new BadPolicy(t('This server publishes no keys for this receipt. Choose a policy of your own.'));
  return response.text();
}

async function policyFor(said, origin, asked) {
  const log = origin.split('/').at(-1);
  return await textOf('policy') ?? published(`/v1/receipts/policy?${new URLSearchParams({ store_ids: said.store, log })}`, asked);
}

async function voidsFor(asked) {
  const text = await textOf('voids') ?? ($('policy').files.length ? null : await published('/v1/receipts/voids', asked));
  return text === null ? null : text.trim();
}

// --- what is said ------------------------------------------------------------------------------------------------------------------

function say(kind, sign, title, words, ...rest) {
  const seal = element('div', { class: `seal ${kind}` }, element('b', { 'aria-hidden': 'true' }, sign), element('div', {}, element('h2', {}, title), ...(words ? [element('p', {}, words)] : [])));
  $('answer').replaceChildren(seal, ...rest);
  $('answer').dataset.state = kind;
  $('answer').hidden = false;
  if (kind !== 'wait') $('answer').focus({ preventScroll: true });
}

function refused(failure, asked) {
  const [title, why] = failure instanceof Refused ? [t('Refused'), t('This receipt is not to be believed.')] : [t('Not checked'), t('It could not be checked.')];
  const reason = sentence('p', failure.message);
  reason.id = 'reason';
  say('bad', '✕', title, why, element('h3', {}, t('Why')), reason, ...questions(asked));
}

function sentence(name, text) {
  const [words, lang] = spoken(text);
  return element(name, { lang }, words);
}

const instant = ms => new Intl.DateTimeFormat(locale, { dateStyle: 'long', timeStyle: 'short', timeZone: 'UTC' }).format(ms) + ' UTC';
const key = text => element('code', {}, text);

function believed(one, asked) {
  const rows = [
    [t('Level'), `${one.level} · ${NAMES[one.level]}`, LEVELS[one.level]],
    [t('Shown by'), one.methods.map(name => METHODS[name]).join(', ') || t('the device alone')],
    [t('When, as it is said'), `${instant(one.window_ms[0])} – ${instant(one.window_ms[1])}`],
    [t('It existed before'), one.existed_before_s === null ? t('a time that no witness has seen') : instant(one.existed_before_s * 1000)],
    [t('Store'), key(one.store)],
    [t('Visitor, by another name for each reader'), key(one.subject)],
    [t('Operator'), one.issuer],
    [t('Probability that the device was inside'), one.p_in === null ? '–' : new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits: 1 }).format(one.p_in / 1000)],
    [t('Risk, 0 to 100'), String(one.risk), one.reasons.join(', ')],
    [t('In the log'), one.log.origin, t('entry {index} of {size}', one.log)],
  ];
  const facts = element('dl', {}, ...rows.flatMap(([name, value, more]) => [element('dt', {}, name), element('dd', {}, value, ...(more ? [element('br'), element('small', {}, more)] : []))]));
  const signers = one.signed_by.map(by => element('li', {}, `${WHO[by.who]} `, key(by.key), ...(by.at_s === undefined ? [] : [element('small', {}, ` ${instant(by.at_s * 1000)}`)])));
  say('good', '✓', t('Signatures and proofs are right'), t('Level {level}: {name}. Read below who says so, and what was not checked.', { level: one.level, name: NAMES[one.level] }),
    facts, element('h3', {}, t('Signed by')), element('ul', { id: 'signers' }, ...signers),
    element('h3', {}, t('Not checked')), element('ul', { id: 'unchecked' }, ...one.not_checked.map(text => sentence('li', text))), ...questions(asked));
}

function questions(asked) {
  if (!asked.length) return [element('p', { id: 'asked' }, t('This server was asked for nothing.'))];
  return [element('h3', {}, t('What this server was asked for')), element('ul', { id: 'asked' }, ...asked.map(path => element('li', {}, key(path))))];
}
