"""`nngpt doctor`: check hardware, packages, sandbox, models and data of this machine."""

from __future__ import annotations

from dataclasses import asdict

from nngpt.cli.options import AsJson
from nngpt.cli.output import print_result


def doctor(as_json: AsJson = False) -> None:
    """Check device, memory, sandbox layers, models and data, and print hints for problems."""
    from rich.table import Table
    from rich.text import Text

    from nngpt.cycle.doctor import check_machine

    findings = list(check_machine())
    table = Table("", "check", "found", "how to fix it")
    for finding in findings:
        mark = Text("ok", style="green") if finding.ok else Text("no", style="yellow")
        table.add_row(mark, finding.what, Text(finding.found), Text(finding.hint))
    print_result(as_json, [asdict(finding) for finding in findings], table)
