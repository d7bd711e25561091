"""The doctor's findings: one ``Result`` per check goes in, a ``Report`` comes out, as text or as plain values."""

from __future__ import annotations

import textwrap
from typing import Any, Literal, NamedTuple

Status = Literal["passed", "failed", "warned", "skipped"]


class Result(NamedTuple):
    """The outcome of one check."""

    name: str  # of the check, as in the table of docs/do/doctor.md
    status: Status  # passed, failed, warned or skipped
    done: str  # what was done to the module or its input
    expected: str  # what must then hold
    difference: str  # how far it is from that; for a skipped check: why it was skipped
    fix: str  # the line to change


class Report(NamedTuple):
    """The outcomes of all checks, in the order in which they ran."""

    results: list[Result]

    @property
    def passed(self) -> list[str]:
        """Names of the checks that passed."""
        return self._names("passed")

    @property
    def failed(self) -> list[str]:
        """Names of the checks that found a mistake."""
        return self._names("failed")

    @property
    def warned(self) -> list[str]:
        """Names of the checks that found something worth a look."""
        return self._names("warned")

    @property
    def skipped(self) -> list[str]:
        """Names of the checks that do not apply, or that a failed check explains."""
        return self._names("skipped")

    def result(self, name: str) -> Result:
        """Return the result of one check; KeyError if there is none of that name."""
        return {result.name: result for result in self.results}[name]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for json."""
        named = {status: self._names(status) for status in ("failed", "warned", "passed", "skipped")}
        return {**named, "results": [result._asdict() for result in self.results]}

    def summary(self) -> str:
        """Return how many checks passed, failed, ... in one line."""
        counts = {"passed": self.passed, "failed": self.failed, "warned": self.warned, "skipped": self.skipped}
        return ", ".join(f"{len(names)} {status}" for status, names in counts.items() if names)

    def __str__(self) -> str:
        lines = [f"{result.status:8}{result.name:20}{result.difference}".rstrip() for result in self.results]
        details = [explained(result) for result in self.results if result.status in ("failed", "warned")]
        return "\n".join([*lines, *(f"\n{text}" for text in details), "", self.summary()])

    def _names(self, status: str) -> list[str]:
        return [result.name for result in self.results if result.status == status]


def explained(result: Result) -> str:
    """Return a result in full, on lines of up to 79 characters."""
    parts = {"done": result.done, "expected": result.expected, "found": result.difference, "fix": result.fix}
    lines = [f"{result.name} {result.status}"]
    for heading, text in parts.items():
        lines += textwrap.wrap(text, 79, initial_indent=f"  {heading:10}", subsequent_indent=" " * 12)
    return "\n".join(lines)
