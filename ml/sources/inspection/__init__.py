"""The parts of `ml.sources.check`: each looks at raw logs from one side and stops at nothing."""
