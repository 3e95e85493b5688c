"""The operator's command line: thin, one module a command, imported only when it is called."""
