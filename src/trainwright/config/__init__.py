"""Strict YAML to frozen models: schemas, overrides by leaf name, differences, hot and cold settings, schedules."""
