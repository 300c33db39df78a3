"""What a claim of the lecture came to."""

import dataclasses


@dataclasses.dataclass
class Claim:
    """What was to be shown, what was measured, and whether it holds; None where the lecture says nothing of it, or
    something else: a finding, told as it is."""

    text: str
    measured: str
    holds: bool | None

    def __post_init__(self):
        if self.holds is not None:
            self.holds = bool(self.holds)  # NumPy's False is not False, and would go unnoticed


def verdict(claim):
    return {True: "holds", False: "DOES NOT HOLD", None: "finding"}[claim.holds]
