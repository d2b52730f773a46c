"""`vidserve doctor`."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from model_export.printing import report_console
from server.commands.checks import CHECKS, Finding, Verdict
from server.core.settings import Settings

_STYLES = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "bold red"}


def run(settings: Settings) -> int:
    """Look at everything and print what was found; the exit status is 1 if the server cannot run."""
    findings = [check(settings) for check in CHECKS]
    console = report_console()
    console.print(_table(findings))
    failed = [finding.name for finding in findings if finding.verdict is Verdict.FAIL]
    warned = [finding.name for finding in findings if finding.verdict is Verdict.WARN]
    if failed:
        console.print(f"\nThe server cannot run here: {', '.join(failed)}.", style="bold red")
    elif warned:
        console.print(f"\nThe server runs here, but look at: {', '.join(warned)}.", style="yellow")
    else:
        console.print("\nAll is well.", style="green")
    return int(bool(failed))


def _table(findings: list[Finding]) -> Table:
    table = Table.grid(padding=(0, 2))
    for finding in findings:
        detail = Text(finding.detail, overflow="fold")
        if finding.fix:
            detail.append(f"\n→ {finding.fix}", style="bold")
        table.add_row(Text(finding.verdict, style=_STYLES[finding.verdict]), finding.name, detail)
    return table
