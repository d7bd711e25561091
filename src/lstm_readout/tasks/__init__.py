"""The three tasks, one file each: thin LightningModules around the models."""

from lstm_readout.tasks.base import Task
from lstm_readout.tasks.classify import ClassifyTask
from lstm_readout.tasks.generate import GenerateTask
from lstm_readout.tasks.translate import TranslateTask

__all__ = ["ClassifyTask", "GenerateTask", "Task", "TranslateTask"]
