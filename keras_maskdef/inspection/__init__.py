"""Inspects models: their structure, value range and agreement with a defence."""
