"""The WAF's judges: the Core Rule Set's own suite, libmodsecurity beside us, mutated and benign traffic.

An engine is whatever takes a message and says which rules it logged (`message.Engine`); every judge takes any engine.
"""
