"""What the tool knows by name: models, pairs, tasks, protocols, quantisation configs."""
