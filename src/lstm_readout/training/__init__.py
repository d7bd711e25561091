"""What trains any task: trainer, optimizers, schedules and callbacks. Nothing here knows a task or a model."""
