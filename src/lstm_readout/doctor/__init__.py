"""Is the right thing read? A module and a batch go in, a report of the classic mistakes comes out. No labels needed.

    from lstm_readout import doctor

    report = doctor.check(module, token_ids, lengths, task="classify")
    print(report)

This package needs torch and NumPy; ``doctor.callback`` needs Lightning, ``doctor.command`` Hydra.
"""

from lstm_readout.doctor.api import check, check_translator
from lstm_readout.doctor.checks.decoding import Decoding
from lstm_readout.doctor.report import Report, Result

__all__ = ["Decoding", "Report", "Result", "check", "check_translator"]
