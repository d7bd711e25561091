"""The parts of models; they need only torch."""

from lstm_readout.nn.attention import Attention, Memory
from lstm_readout.nn.bridge import Bridge
from lstm_readout.nn.cross_entropy import linear_cross_entropy
from lstm_readout.nn.dropout import SequenceDropout
from lstm_readout.nn.encoder import Encoder, EncoderArguments
from lstm_readout.nn.head import AdaptiveHead
from lstm_readout.nn.init import make_orthogonal, open_forget_gates, spread_time_scales
from lstm_readout.nn.lstm import LSTM, LSTMArguments, LSTMOutput, LSTMState
from lstm_readout.nn.packed import each_token, reversed_rows
from lstm_readout.nn.pooling import RealSteps, real_steps
from lstm_readout.nn.readout import READOUTS, Readout

__all__ = [
    "LSTM",
    "READOUTS",
    "AdaptiveHead",
    "Attention",
    "Bridge",
    "Encoder",
    "EncoderArguments",
    "LSTMArguments",
    "LSTMOutput",
    "LSTMState",
    "Memory",
    "Readout",
    "RealSteps",
    "SequenceDropout",
    "each_token",
    "linear_cross_entropy",
    "make_orthogonal",
    "open_forget_gates",
    "real_steps",
    "reversed_rows",
    "spread_time_scales",
]
