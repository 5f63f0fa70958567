"""Strict YAML to frozen models: schemas, overrides by leaf name, differences, hot and restart marks, schedules."""
