"""The auditor's page: what is checked in the browser is what the offline verifier checks, for every receipt, file and policy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

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
