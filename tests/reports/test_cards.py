"""Cards and indexes of exported networks: what a candidate says stays text."""

from __future__ import annotations

from nngpt.records import EpochResult, Evaluation, canonical_json
from nngpt.reports.cards import agrees, index_sheet
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


def evaluation(device: str = "cpu", half: bool = False) -> Evaluation:
    return Evaluation(
        epochs=(EpochResult(1, 0.9, 900, 1000, 1.0),),
        claimed_parameters=1,
        seconds=1.0,
        device=device,
        seed=1,
        sandbox="standard",
        protocol=canonical_json({"precision": "bfloat16" if half else "float32"}),
    )


def test_answers_may_flip_by_rounding_only_where_there_is_some() -> None:
    assert agrees(evaluation(), 900) and not agrees(evaluation(), 899)
    for rounded in (evaluation("cuda"), evaluation(half=True)):
        assert agrees(rounded, 896) and not agrees(rounded, 890)
