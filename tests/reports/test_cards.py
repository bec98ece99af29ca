"""Cards and indexes of exported networks: what a candidate says stays text."""

from __future__ import annotations

import pytest

from nngpt.records import EpochResult, Evaluation, Exported, canonical_json
from nngpt.reports.cards import agrees, index_sheet, onnx_agrees
from nngpt.reports.sheets import markdown_table


def test_a_reason_is_no_markup() -> None:
    reason = "build: ![x](//evil) <script>alert(1)</script> | `a`\n# head\n\\| *b*"
    page = markdown_table(index_sheet([{"attempt": 1, "refused": reason}], "Networks"))
    (row,) = (line for line in page.splitlines() if "refused" in line)
    assert page.splitlines()[-3] == row, "one row, then the note"
    said = (
        r"refused: build: !\[x\](//evil) \<script\>alert(1)\</script\> "
        r"\| \`a\` \# head \\\| \*b\*"
    )
    assert row.startswith(f"| {said} | 1 |")


def exported(
    loaded: int, onnx: tuple[int, int] | None = None, device: str = "cpu", half: bool = False
) -> Exported:
    evaluation = Evaluation(
        epochs=(EpochResult(1, 0.9, 900, 1000, 1.0),),
        claimed_parameters=1,
        seconds=1.0,
        device=device,
        seed=1,
        sandbox="standard",
        protocol=canonical_json({"precision": "bfloat16" if half else "float32"}),
    )
    return Exported(evaluation, (1, 1, 4, 4), (), b"", False, (loaded, 1000), onnx_judged=onnx)


def test_answers_may_flip_by_rounding_only_where_there_is_some() -> None:
    assert agrees(exported(900)) and not agrees(exported(899))
    for rounded in ({"device": "cuda"}, {"half": True}):
        assert agrees(exported(896, **rounded)) and not agrees(exported(890, **rounded))


@pytest.mark.parametrize(
    ("judged", "same"),
    [(None, True), ((899, 1000), True), ((800, 1000), False), ((56, 64), True), ((30, 64), False)],
)
def test_an_onnx_file_that_is_worth_less_is_told(
    judged: tuple[int, int] | None, same: bool
) -> None:
    assert onnx_agrees(exported(900, judged)) is same
