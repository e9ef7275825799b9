"""The auditor's page: what is checked in the browser is what the offline verifier checks, for every receipt, file and policy."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from geo_o2o.ledger.receipt import sign_voids
from geo_o2o.web.words import words
from visit_verify.file import format_visit

from ..client.test_whole_way import Running, visit_and_keep
from ..verifier import parties
from .conftest import pictures, violations, weigh
from .vectors import cases_of_files, cases_of_policies, cases_of_receipts

_ANSWERS = """
async cases => {
  const load = name => import(`/static/verify/${name}.js`);
  const [{ Refused }, { parsePolicy, BadPolicy }, { parseProof }, { parseVisit }, { verify }] = await Promise.all(['bytes', 'policy', 'proof', 'file', 'receipt'].map(load));
  const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  const inflated = async data => new Uint8Array(await new Response(new Blob([data]).stream().pipeThrough(new DecompressionStream('deflate'))).arrayBuffer());
  const policies = new Map();
  const answers = [];
  for (const one of cases) {
    try {
      if (!policies.has(one.policy)) policies.set(one.policy, await parsePolicy(one.policy));
      const policy = policies.get(one.policy);
      if (one.data !== undefined) answers.push(await verify(...await parseVisit(await inflated(bytes(one.data))), policy));
      else if (one.receipt !== undefined) answers.push(await verify(one.receipt, parseProof(bytes(one.proof)), policy, one.voids));
      else answers.push(null);
    } catch (failure) {
      if (failure instanceof BadPolicy) answers.push(failure.message);
      else if (failure instanceof Refused) answers.push({ result: 'refused', reason: failure.message });
      else answers.push({ result: 'broken', reason: String(failure.stack) });
    }
  }
  return answers;
}
"""


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    return open_page("/verify")


def test_every_receipt_is_judged_as_by_the_offline_verifier(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = cases_of_receipts(monkeypatch)
    answers = page.evaluate(_ANSWERS, [{name: one[name] for name in ("receipt", "proof", "policy", "voids")} for one in cases])
    counted = Counter(one["answer"]["result"] for one in cases)
    assert counted["believed"] >= 10
    assert counted["refused"] >= 500
    for case, answer in zip(cases, answers, strict=True):
        assert comparable(answer) == comparable(case["answer"]), case


def test_no_file_is_believed_that_the_offline_verifier_refuses_by_the_offline_verifier(page: Page) -> None:
    cases = cases_of_files()
    answers = page.evaluate(_ANSWERS, [{name: one[name] for name in ("data", "policy")} for one in cases])
    for number, (case, answer) in enumerate(zip(cases, answers, strict=True)):
        # Each library has words of its own for what is wrong with a zip, and reads over another flaw: never is more believed here.
        if answer["result"] == "refused":
            assert case["damaged"] or case["answer"]["result"] == "refused", (number, answer)
        else:
            assert answer == case["answer"], number
    counted = Counter(one["result"] for one in answers)
    assert counted["believed"] >= 10
    assert counted["refused"] >= 500


def test_every_policy_is_read_as_by_the_offline_verifier(page: Page) -> None:
    cases = cases_of_policies()
    answers = page.evaluate(_ANSWERS, [{"policy": one["policy"]} for one in cases])
    for case, answer in zip(cases, answers, strict=True):
        assert (answer is None) == (case["answer"] is None), (case, answer)
        if answer is not None:
            assert answer.partition(", found")[0] == case["answer"].partition(", found")[0]


def comparable(answer: Any) -> Any:
    """Without what an error shows of the text that it was found in, and without each JSON library's own words."""
    if answer["result"] == "refused":
        reason = answer["reason"].partition(", found")[0]
        if reason.startswith(("expected JSON:", "numbers are whole here", "the content of the ")):
            return "not in the one form"
        return reason
    return answer


# --- the page ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A folder with a .visit file, a policy and a list of voids."""
    visit = parties.Visit()
    receipt = visit.signed()
    (tmp_path / "coffee.visit").write_bytes(format_visit(receipt, visit.proof(receipt)))
    (tmp_path / "policy.txt").write_text(parties.policy_text().replace("\n", "\r\n"))
    (tmp_path / "voids.jwt").write_text(sign_voids([], issuer=parties.ISSUER, at_ms=parties.AT_MS + 60_000, seed=parties.OPERATOR_SEED) + "\n")
    return tmp_path


def check(page: Page, folder: Path, *, name: str = "coffee.visit", policy: str | None = "policy.txt", voids: str | None = None) -> str:
    """Chooses files and waits for the answer: good or bad."""
    for field, chosen in (("policy", policy), ("voids", voids), ("file", name)):
        page.locator(f"#{field}").set_input_files([] if chosen is None else str(folder / chosen))
    page.wait_for_function("() => ['good', 'bad'].includes(document.querySelector('#answer').dataset.state)")
    return str(page.locator("#answer").get_attribute("data-state"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_receipt_is_explained(open_page: Callable[..., Page], kept: Path, scheme: str) -> None:
    page = open_page("/verify", scheme=scheme)
    asked: list[str] = []
    page.on("request", lambda request: None if request.url.endswith("/static/icon.svg") else asked.append(request.url))
    assert check(page, kept, voids="voids.jwt") == "good"
    answer = page.locator("#answer")
    expect(answer).to_contain_text("Level 3: confirmed")
    expect(answer).to_contain_text("entry 5 of 306")
    expect(page.locator("#signers li")).to_have_count(6)
    expect(page.locator("#unchecked")).to_contain_text("the time of the list of voids")
    # Whoever brings the keys asks nobody for anything.
    expect(page.locator("#asked")).to_have_text("This server was asked for nothing.")
    assert asked == []
    assert violations(page) == []
    page.screenshot(path=str(pictures() / f"verify-{scheme}.png"), full_page=True)


@pytest.mark.parametrize("language", ["zh-Hans", "zh-Hant", "fi"])
def test_the_page_speaks_the_language_of_its_reader(open_page: Callable[..., Page], kept: Path, language: str) -> None:
    page = open_page("/verify", locale={"zh-Hans": "zh-CN", "zh-Hant": "zh-TW", "fi": "fi-FI"}[language], width=390)
    known = words("verify", language)
    expect(page.locator("h1")).to_have_text(known["Check a receipt of a visit"])
    assert page.locator("html").get_attribute("lang") == language
    assert check(page, kept) == "good"
    expect(page.locator("#answer h2")).to_have_text(known["Signatures and proofs are right"])
    # Every sentence of the answer, too: what is left in English says so.
    assert {one.get_attribute("lang") for one in page.locator("#unchecked li").all()} == {language}
    page.screenshot(path=str(pictures() / f"verify-{language}.png"), full_page=True)
    page.locator("nav a", has_text="English").click()
    expect(page.locator("h1")).to_have_text("Check a receipt of a visit")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_what_is_not_to_be_believed_is_refused_with_the_reason(open_page: Callable[..., Page], kept: Path) -> None:
    page = open_page("/verify")
    forged = parties.Visit(changes={"risk": 1})
    (kept / "forged.visit").write_bytes(format_visit(forged.signed(), parties.Visit().proof(parties.Visit().signed())))
    (kept / "empty.visit").write_bytes(b"")
    (kept / "huge.visit").write_bytes(bytes(100_000_000))
    (kept / "other.txt").write_text("quorum none\n")
    (kept / "<img src=x onerror=alert(1)>.visit").write_text("no zip")
    (kept / "broken.txt").write_text("operator AAAA\n")
    (kept / "binary.txt").write_bytes(b"\xff\xfe")
    for name, policy, said in (
        ("forged.visit", "policy.txt", "another root"), ("empty.visit", "policy.txt", "not a .visit file"), ("huge.visit", "policy.txt", "far too large"),
        ("coffee.visit", "other.txt", "not name as an operator's"), ("<img src=x onerror=alert(1)>.visit", "policy.txt", "not a .visit file"),
        ("coffee.visit", "broken.txt", "line 1 of the policy"), ("coffee.visit", "binary.txt", "binary.txt is no text"),
    ):  # fmt: skip
        page.evaluate("document.querySelector('#answer').dataset.state = ''")
        assert check(page, kept, name=name, policy=policy) == "bad", name
        expect(page.locator("#reason")).to_contain_text(said)
    assert page.locator("#answer img").count() == 0
    # And a good one after all that.
    page.evaluate("document.querySelector('#answer').dataset.state = ''")
    assert check(page, kept) == "good"


def test_a_receipt_of_another_system_needs_a_policy_of_ones_own(open_page: Callable[..., Page], kept: Path) -> None:
    page = open_page("/verify", quiet=False)
    assert check(page, kept, policy=None) == "bad"
    # As this server has issued receipts of its own, or has not yet.
    expect(page.locator("#reason")).to_have_text(
        re.compile("This server publishes no keys for this receipt|a key that the policy does not name as an operator's")
    )


def test_a_file_can_be_dropped(open_page: Callable[..., Page], kept: Path) -> None:
    page = open_page("/verify")
    page.locator("#policy").set_input_files(str(kept / "policy.txt"))
    data = base64.b64encode((kept / "coffee.visit").read_bytes()).decode()
    drop = """async data => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([Uint8Array.from(atob(data), letter => letter.charCodeAt(0))], 'coffee.visit'));
      document.querySelector('#drop').dispatchEvent(new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true }));
    }"""
    page.evaluate(drop, data)
    expect(page.locator("#answer h2")).to_have_text("Signatures and proofs are right")


def test_the_page_is_small(open_page: Callable[..., Page]) -> None:
    page = open_page("/verify")
    page.wait_for_load_state("networkidle")
    # The page itself and all that it loads, as packed.
    assert weigh(page, "verify") < 60_000


# --- the whole way -----------------------------------------------------------------------------------------------------------------


def test_a_receipt_of_this_server_is_checked_by_the_keys_that_it_publishes(running: Running, browser: Browser, tmp_path: Path) -> None:
    """A phone, a till, a receipt, and an auditor's browser that tells nobody what it checks."""
    visit_and_keep(running, tmp_path)
    kept = tmp_path / "coffee.visit"
    page = browser.new_context().new_page()
    page.goto(f"{running.url}/verify")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(f"{request.method} {request.url.removeprefix(running.url).partition('?')[0]}"))
    assert check(page, tmp_path, policy=None) == "good"
    expect(page.locator("#answer")).to_contain_text("Level 3: confirmed")
    expect(page.locator("#asked li")).to_have_count(2)
    assert [one for one in asked if "icon" not in one] == ["GET /v1/receipts/policy", "GET /v1/receipts/voids"]
    forged = kept.read_bytes()
    kept.write_bytes(forged[:300] + bytes([forged[300] ^ 1]) + forged[301:])
    page.reload()
    assert check(page, tmp_path, policy=None) == "bad"
    page.context.close()
