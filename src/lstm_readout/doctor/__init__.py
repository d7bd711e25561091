"""Does a module read the right output? It goes in with a batch, a report on the classic mistakes comes out. No labels.

    from lstm_readout import doctor

    report = doctor.check(module, token_ids, lengths, task="classify")
    print(report)

The checks need torch and NumPy; ``doctor.callback`` needs Lightning, ``lstm-readout doctor`` Hydra.
"""

from lstm_readout.doctor.api import check, check_translator
from lstm_readout.doctor.checks.decoding import Decoding
from lstm_readout.doctor.report import Report, Result

__all__ = ["Decoding", "Report", "Result", "check", "check_translator"]
